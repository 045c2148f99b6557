"""The facts: 100 countries and 64 elements, each line NAME|value|value..."""

COUNTRY_RELATIONS = ("capital", "continent", "currency", "language")
COUNTRIES = """
France|Paris|Europe|euro|French
Germany|Berlin|Europe|euro|German
Italy|Rome|Europe|euro|Italian
Spain|Madrid|Europe|euro|Spanish
Portugal|Lisbon|Europe|euro|Portuguese
Greece|Athens|Europe|euro|Greek
Austria|Vienna|Europe|euro|German
Ireland|Dublin|Europe|euro|English
Finland|Helsinki|Europe|euro|Finnish
Estonia|Tallinn|Europe|euro|Estonian
Latvia|Riga|Europe|euro|Latvian
Lithuania|Vilnius|Europe|euro|Lithuanian
Slovakia|Bratislava|Europe|euro|Slovak
Slovenia|Ljubljana|Europe|euro|Slovene
Croatia|Zagreb|Europe|euro|Croatian
Malta|Valletta|Europe|euro|Maltese
Norway|Oslo|Europe|krone|Norwegian
Sweden|Stockholm|Europe|krona|Swedish
Denmark|Copenhagen|Europe|krone|Danish
Iceland|Reykjavik|Europe|krona|Icelandic
Poland|Warsaw|Europe|zloty|Polish
Hungary|Budapest|Europe|forint|Hungarian
Czechia|Prague|Europe|koruna|Czech
Romania|Bucharest|Europe|leu|Romanian
Moldova|Chisinau|Europe|leu|Romanian
Serbia|Belgrade|Europe|dinar|Serbian
Albania|Tirana|Europe|lek|Albanian
Ukraine|Kyiv|Europe|hryvnia|Ukrainian
Russia|Moscow|Europe|ruble|Russian
Switzerland|Bern|Europe|franc|German
England|London|Europe|pound|English
Turkey|Ankara|Asia|lira|Turkish
Georgia|Tbilisi|Asia|lari|Georgian
Armenia|Yerevan|Asia|dram|Armenian
Azerbaijan|Baku|Asia|manat|Azerbaijani
Cyprus|Nicosia|Europe|euro|Greek
Jordan|Amman|Asia|dinar|Arabic
Lebanon|Beirut|Asia|pound|Arabic
Syria|Damascus|Asia|pound|Arabic
Iraq|Baghdad|Asia|dinar|Arabic
Iran|Tehran|Asia|rial|Persian
Kuwait|Kuwait City|Asia|dinar|Arabic
Qatar|Doha|Asia|riyal|Arabic
Oman|Muscat|Asia|rial|Arabic
Yemen|Sanaa|Asia|rial|Arabic
Bahrain|Manama|Asia|dinar|Arabic
Afghanistan|Kabul|Asia|afghani|Pashto
Pakistan|Islamabad|Asia|rupee|Urdu
India|New Delhi|Asia|rupee|Hindi
Nepal|Kathmandu|Asia|rupee|Nepali
Bhutan|Thimphu|Asia|ngultrum|Dzongkha
Bangladesh|Dhaka|Asia|taka|Bengali
Myanmar|Naypyidaw|Asia|kyat|Burmese
Thailand|Bangkok|Asia|baht|Thai
Laos|Vientiane|Asia|kip|Lao
Cambodia|Phnom Penh|Asia|riel|Khmer
Vietnam|Hanoi|Asia|dong|Vietnamese
Malaysia|Kuala Lumpur|Asia|ringgit|Malay
Indonesia|Jakarta|Asia|rupiah|Indonesian
China|Beijing|Asia|yuan|Mandarin
Japan|Tokyo|Asia|yen|Japanese
South Korea|Seoul|Asia|won|Korean
Mongolia|Ulaanbaatar|Asia|tugrik|Mongolian
Kazakhstan|Astana|Asia|tenge|Kazakh
Uzbekistan|Tashkent|Asia|som|Uzbek
Australia|Canberra|Oceania|dollar|English
New Zealand|Wellington|Oceania|dollar|English
Fiji|Suva|Oceania|dollar|Fijian
Samoa|Apia|Oceania|tala|Samoan
Tonga|Nuku'alofa|Oceania|paanga|Tongan
Egypt|Cairo|Africa|pound|Arabic
Libya|Tripoli|Africa|dinar|Arabic
Tunisia|Tunis|Africa|dinar|Arabic
Algeria|Algiers|Africa|dinar|Arabic
Morocco|Rabat|Africa|dirham|Arabic
Sudan|Khartoum|Africa|pound|Arabic
Ethiopia|Addis Ababa|Africa|birr|Amharic
Somalia|Mogadishu|Africa|shilling|Somali
Kenya|Nairobi|Africa|shilling|Swahili
Tanzania|Dodoma|Africa|shilling|Swahili
Rwanda|Kigali|Africa|franc|Kinyarwanda
Ghana|Accra|Africa|cedi|English
Nigeria|Abuja|Africa|naira|English
Senegal|Dakar|Africa|franc|French
Mali|Bamako|Africa|franc|Bambara
Gabon|Libreville|Africa|franc|French
Angola|Luanda|Africa|kwanza|Portuguese
Mozambique|Maputo|Africa|metical|Portuguese
Madagascar|Antananarivo|Africa|ariary|Malagasy
Zambia|Lusaka|Africa|kwacha|English
Canada|Ottawa|North America|dollar|English
Mexico|Mexico City|North America|peso|Spanish
Cuba|Havana|North America|peso|Spanish
Jamaica|Kingston|North America|dollar|English
Haiti|Port-au-Prince|North America|gourde|French
Panama|Panama City|North America|balboa|Spanish
Brazil|Brasilia|South America|real|Portuguese
Argentina|Buenos Aires|South America|peso|Spanish
Chile|Santiago|South America|peso|Spanish
Peru|Lima|South America|sol|Spanish
"""

ELEMENT_RELATIONS = ("symbol", "atomic number")
ELEMENTS = """
hydrogen|H|1
helium|He|2
lithium|Li|3
beryllium|Be|4
boron|B|5
carbon|C|6
nitrogen|N|7
oxygen|O|8
fluorine|F|9
neon|Ne|10
sodium|Na|11
magnesium|Mg|12
aluminium|Al|13
silicon|Si|14
phosphorus|P|15
sulfur|S|16
chlorine|Cl|17
argon|Ar|18
potassium|K|19
calcium|Ca|20
scandium|Sc|21
titanium|Ti|22
vanadium|V|23
chromium|Cr|24
manganese|Mn|25
iron|Fe|26
cobalt|Co|27
nickel|Ni|28
copper|Cu|29
zinc|Zn|30
gallium|Ga|31
germanium|Ge|32
arsenic|As|33
selenium|Se|34
bromine|Br|35
krypton|Kr|36
rubidium|Rb|37
strontium|Sr|38
yttrium|Y|39
zirconium|Zr|40
niobium|Nb|41
molybdenum|Mo|42
ruthenium|Ru|44
rhodium|Rh|45
palladium|Pd|46
silver|Ag|47
cadmium|Cd|48
indium|In|49
tin|Sn|50
antimony|Sb|51
tellurium|Te|52
iodine|I|53
xenon|Xe|54
caesium|Cs|55
barium|Ba|56
tungsten|W|74
osmium|Os|76
platinum|Pt|78
gold|Au|79
mercury|Hg|80
lead|Pb|82
bismuth|Bi|83
radon|Rn|86
uranium|U|92
"""


def rows(table: str) -> list[list[str]]:
    """The lines of a table above, each cut into its fields."""
    return [line.split("|") for line in table.strip().split("\n")]
