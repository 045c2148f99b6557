// How answers of a model are compared with the right ones, as the authors of the tasks do.
#ifndef BRINK_EVAL_GRADERS_H_
#define BRINK_EVAL_GRADERS_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace brink {

/// The number that a worked answer ends in, written in one way: no sign for zero or plus, no
/// thousands separators, no zeros in front or after the decimals ("-1,050.50" is "-1050.5", "$18."
/// is "18"). After the last "####" the first number counts (GSM8K, Cobbe et al. 2021), in a text
/// without "####" the last one. A minus belongs to the number that it is glued to, with a sign of
/// currency between them or not, unless something that it could be subtracted from stands before
/// it; "- 3" is an item of a list. Nothing: there is no such number.
std::optional<std::string> final_number(std::string_view text);

/// White space at the ends dropped, elsewhere made one space; a full stop at the end dropped.
std::string normalize_exact(std::string_view text);

/// As TriviaQA's own evaluation (Joshi et al. 2017): lower case, underscores and punctuation (that
/// of ASCII, and U+2018, U+2019, U+00B4) to spaces, without the words a, an and the, which end at
/// anything that is no letter or digit, white space made single spaces.
std::string normalize_trivia(std::string_view text);

/// Whether `answer` equals one of `aliases`, all after normalize_trivia().
bool trivia_match(std::string_view answer, std::span<const std::string> aliases);

/// The largest F1 of the words of `answer` and one of `aliases`, after normalize_trivia(); words
/// count as often as they occur.
double trivia_f1(std::string_view answer, std::span<const std::string> aliases);

struct RougeScore {
  double precision = 0, recall = 0, f1 = 0;
};
/// ROUGE-L (Lin 2004): the longest common subsequence of words, where words are runs of a-z and 0-9
/// after lower-casing; without stemming. As the rouge_score package does.
RougeScore rouge_l(std::string_view summary, std::string_view reference);

/// The first fenced block (``` or ~~~, with or without a language) of an answer, else the answer
/// itself, white space at its ends dropped.
std::string strip_fences(std::string_view text);

/// The Python of an answer, indented as it was. Of several fenced blocks the first one that defines
/// one of `names` at the line's beginning, after those before it that only import and define; all
/// of them, where none does. Behind code, a fence that none opened ends it. Without fences all.
std::string code_in(std::string_view answer, std::span<const std::string> names);

/// Whether a text, up to a fence say, is Python and no sentence: it begins indented or with
/// "return", or it imports or defines something.
bool begins_with_code(std::string_view text);

/// Symbols that an answer about code uses and the code does not have: names that are called or
/// stand beside an operator (= included). Words of Python are no such names.
std::vector<std::string> unknown_symbols(std::string_view answer, std::string_view code);

/// Whether a text holds Python code: a line that defines a function, or imports something.
bool holds_code(std::string_view text);

/// Whether `value` stands somewhere in `text`: both in lower case, white space made single spaces,
/// and not as a part of a longer word or number.
bool occurs_in(std::string_view value, std::string_view text);

}  // namespace brink

#endif  // BRINK_EVAL_GRADERS_H_
