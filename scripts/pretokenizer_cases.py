#!/usr/bin/env python3
"""Writes tests/data/text/pretokenizer_cases.txt: how regular expressions cut texts into words.

The expressions are those of the published tokenizer.json files, run by Python's `re` with the
Unicode properties spelled out, so that the state machines of pretokenizer_rules.h are held against
something written independently of them.

Usage: scripts/pretokenizer_cases.py > tests/data/text/pretokenizer_cases.txt
"""
import random
import re
import unicodedata
from collections import defaultdict

WHITE_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
    "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d"
    "\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787"
    "\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")
DEEPSEEK_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"

# One name for each rule; the expressions apply in order, each to the pieces of the one before.
RULES = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "gpt-2": [GPT2],
    "llama-bpe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" +
                  SPACES],
    "qwen2": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES],
    "bailingmoe": [r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
                   r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
               r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES],
    "seed-coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" +
                   SPACES],
    "minicpm5": [r"\p{N}{1,3}", CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+|"
                 r" ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES],
    "gpt-4o": [r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + CONTRACTION +
               r"?|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" + CONTRACTION +
               r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES],
    "tekken": [r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+|[^\r\n\p{L}\p{N}]?" + UPPER + "+" +
               LOWER + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES],
    "deepseek-llm": [r"[\r\n]", r"\s?[" + DEEPSEEK_LETTERS + "]+",
                     r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+\Z",
                     DEEPSEEK_CJK, r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"""
                    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACES],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
}

PARTS = [
    " ", "  ", "\n", "\r\n", "\t", "\u3000", "\u00a0", "\u2003", "'s", "'S", "'re", "'LL", "d",
    "\u2019s", "a", "B", "Zz", "é", "É", "ß", "ñ", "я", "Я", "中", "文字", "ア", "ひ", "한국", "ğ",
    "०", "१२", "٣", "½", "²", "Ⅷ", "1", "23", "456", "7890123", ".", ",", "!", "?!", "...", "$",
    "+", "=", "<|", "|>", "`", "~^", "_", "-", "—", "“", "”", "、", "。", "，", "🦙", "👨\u200d👩",
    "\u0301", "\u0941", "हिन्दी", "ไทย", "\x00", "\x7f", "\u200b", "\u00ad", "\ufeff", "\ue000",
    "\U000f0000", "🏴", "ǅ", "ªº", "/", "//", "\\", "#", "@", "&", "'", '"', "(", ")", "µ", "Ω",
    "Å", "ﬁ", "Ａ", "１", "ა", "Ა", "Ꭰ", "ꭰ", "Hello", " world", "camelCase", "HTTPServer", "\r",
]


def categories():
    table = defaultdict(list)
    for code_point in range(0x110000):
        table[unicodedata.category(chr(code_point))].append(code_point)
    return table


def character_class(table, name):
    points = sorted(c for category, members in table.items() if category.startswith(name)
                    for c in members)
    text, i = "", 0
    while i < len(points):
        j = i
        while j + 1 < len(points) and points[j + 1] == points[j] + 1:
            j += 1
        text += "\\U%08x" % points[i] + ("-\\U%08x" % points[j] if j > i else "")
        i = j + 1
    return text


def compiled(expression, table):
    """`re` knows no \\p{..}, and its \\s is not White_Space: both are written out."""
    text, i, inside = "", 0, False
    while i < len(expression):
        c = expression[i]
        if c == "\\":
            width, known = 2, None
            if expression[i + 1] == "p":
                end = expression.index("}", i)
                width, known = end + 1 - i, character_class(table, expression[i + 3:end])
            elif expression[i + 1] == "s":
                known = WHITE_SPACE
            elif expression[i + 1] == "S":
                known = "^" + WHITE_SPACE
            if known is None:
                text += expression[i:i + 2]
            else:
                text += known if inside else "[" + known + "]"
            i += width
            continue
        if c == "[" and not inside:
            inside = True
        elif c == "]" and inside:
            inside = False
        text += c
        i += 1
    return re.compile(text)


def cut(text, expressions):
    pieces = [text]
    for expression in expressions:
        after = []
        for piece in pieces:
            last = 0
            for match in expression.finditer(piece):
                if match.start() > last:
                    after.append(piece[last:match.start()])
                after.append(match.group())
                last = match.end()
            if last < len(piece):
                after.append(piece[last:])
        pieces = after
    ends, position = [], 0
    for piece in pieces:
        position += len(piece.encode())
        ends.append(position)
    return ends


def main():
    random.seed(1)
    table = categories()
    rules = {name: [compiled(e, table) for e in list_] for name, list_ in RULES.items()}
    assigned = [chr(c) for c in range(0x20, 0x30000)
                if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")]
    texts = ["".join(random.choice(PARTS) for _ in range(random.randint(1, 16)))
             for _ in range(160)]
    texts += ["".join(random.choice(assigned if random.random() < 0.5 else PARTS)
                      for _ in range(random.randint(1, 20))) for _ in range(60)]
    texts += ["".join(random.choice("ab '\n\t1.,sSrRlL\r-") for _ in range(random.randint(2, 30)))
              for _ in range(40)]
    print(f"# Made by scripts/pretokenizer_cases.py with Unicode {unicodedata.unidata_version}.")
    print("# A text in hexadecimal, then for each rule the offsets at which its words end.")
    for text in texts:
        print("text", text.encode().hex())
        for name, expressions in rules.items():
            print(name, ",".join(map(str, cut(text, expressions))))


main()
