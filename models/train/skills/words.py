"""Names that several skills use."""

FIRST_NAMES = (
    "Ada", "Ben", "Carl", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jack", "Kate", "Leo", "Mona",
    "Nils", "Olga", "Paul", "Rosa", "Sam", "Tess", "Uma", "Vera", "Will", "Yann", "Zoe", "Alice",
    "Bruno", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Iris", "James", "Karen", "Laura",
    "Maria", "Nora", "Oscar", "Peter",
)
LAST_NAMES = (
    "Adams", "Baker", "Cole", "Dunn", "Ellis", "Frost", "Green", "Hill", "Irwin", "Jones", "King",
    "Lane", "Moore", "Nolan", "Owens", "Price", "Quill", "Reyes", "Stone", "Turner", "Upton",
    "Vance", "Wells", "Young", "Abbott", "Brooks", "Carter", "Dixon", "Evans", "Fisher", "Gray",
    "Hayes", "Jensen", "Keller", "Lopez", "Mason", "Novak", "Osborn", "Parker", "Rossi",
)
