#include "tools/qeval/task_file.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <numeric>
#include <regex>
#include <utility>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "tools/support/json.h"
#include "tools/support/json_text.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

// The fields of one item, with messages that name it.
class Fields {
 public:
  Fields(const std::string& path, std::size_t index, const Json& item)
      : path_(path), index_(index), item_(item) {
    if (!item.is_object()) fail("is no object");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error("item " + std::to_string(index_) + " " + what, {.file = path_});
  }
  bool has(const char* name) const { return item_.contains(name) && !item_[name].is_null(); }
  const Json& json(const char* name) const {
    if (!has(name)) fail(std::string("has no field '") + name + "'");
    return item_[name];
  }

  /// A string; a number or truth value as JSON writes it.
  std::string text_of(const Json& value, const char* name) const {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number() || value.is_boolean()) return dumped(value);
    fail(std::string("has no text in '") + name + "'");
  }
  std::string text(const char* name) const { return text_of(json(name), name); }
  std::string text_or(const char* name, std::string otherwise = "") const {
    return has(name) ? text(name) : otherwise;
  }
  /// Text, or any other JSON written as such.
  std::string text_or_json(const char* name) const {
    const Json& value = json(name);
    return value.is_structured() ? dumped(value) : text(name);
  }
  std::vector<std::string> texts_of(const Json& value, const char* name) const {
    if (!value.is_array()) fail(std::string("has no list in '") + name + "'");
    std::vector<std::string> out;
    for (const Json& element : value) out.push_back(text_of(element, name));
    return out;
  }
  std::vector<std::string> texts(const char* name) const { return texts_of(json(name), name); }

  std::size_t index() const { return index_; }

  /// An index into `count` choices, from 0, as a number or its digits.
  std::size_t choice(const std::string& value, std::size_t count) const {
    std::size_t at = 0;
    if (value.empty() || value.size() > 3) fail("names no choice: '" + printable(value, 40) + "'");
    for (const char c : value) {
      if (!std::isdigit(static_cast<unsigned char>(c)))
        fail("names no choice: '" + printable(value, 40) + "'");
      at = 10 * at + static_cast<std::size_t>(c - '0');
    }
    if (at >= count) fail("names choice " + value + " of " + std::to_string(count) + ", from 0");
    return at;
  }

 private:
  const std::string& path_;
  const std::size_t index_;
  const Json& item_;
};

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

// Of WikiHow's markup: "[title]" ends a sentence, other brackets go.
std::string without_brackets(std::string text) {
  text = trimmed(text);
  for (std::size_t at; (at = text.find(" [title]")) != std::string::npos;)
    text.replace(at, 8, ". ");
  static const std::regex kBrackets("\\[[^\\]]*\\]");
  text = std::regex_replace(text, kBrackets, "");
  for (std::size_t at; (at = text.find("  ")) != std::string::npos;) text.erase(at, 1);
  return text;
}

std::string capitalized(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    text[i] = static_cast<char>(i == 0 ? std::toupper(c) : std::tolower(c));
  }
  return text;
}

void read_questions(const Fields& f, TaskItem& item) {
  item.question = f.text("question");
  item.answer = f.text_or_json("answer");
}

void read_trivia(const Fields& f, TaskItem& item) {
  const bool published = f.has("Answer");
  item.question = f.text(published ? "Question" : "question");
  const Json& answer = f.json(published ? "Answer" : "answer");
  const auto add = [&](const char* name) {
    if (!answer.is_object() || !answer.contains(name)) return;
    const Json& value = answer[name];
    for (const std::string& text :
         value.is_string() ? std::vector{value.get<std::string>()} : f.texts_of(value, name))
      if (std::ranges::find(item.aliases, text) == item.aliases.end()) item.aliases.push_back(text);
  };
  for (const char* name : {"Value", "value", "Aliases", "aliases", "NormalizedAliases",
                           "normalized_aliases", "HumanAnswers"})
    add(name);
  if (item.aliases.empty()) f.fail("has no right answer");
  item.answer = item.aliases[0];
  item.id = f.text_or(published ? "QuestionId" : "question_id");
}

void read_hella_swag(const Fields& f, TaskItem& item) {
  const bool parts = f.has("ctx_a") && f.has("ctx_b");
  std::string text = parts ? f.text("ctx_a") + " " + capitalized(f.text("ctx_b")) : f.text("ctx");
  if (f.has("activity_label")) text = f.text("activity_label") + ": " + text;
  item.question = without_brackets(text);
  for (const std::string& ending : f.texts("endings"))
    item.choices.push_back(without_brackets(ending));
  item.right = f.choice(f.text("label"), item.choices.size());
  item.id = f.text_or("ind");
}

void read_arc(const Fields& f, TaskItem& item) {
  std::vector<std::string> labels;
  const Json& question = f.json("question");
  if (question.is_object()) {
    const Json stem = question.value("stem", Json()), choices = question.value("choices", Json());
    item.question = f.text_of(stem, "question.stem");
    if (!choices.is_array()) f.fail("has no list in 'question.choices'");
    for (const Json& choice : choices) {
      if (!choice.is_object() || !choice.contains("text") || !choice.contains("label"))
        f.fail("has a choice without text or label");
      item.choices.push_back(f.text_of(choice["text"], "text"));
      labels.push_back(f.text_of(choice["label"], "label"));
    }
  } else {
    item.question = f.text("question");
    const Json& choices = f.json("choices");
    item.choices = f.texts_of(choices.value("text", Json()), "choices.text");
    labels = f.texts_of(choices.value("label", Json()), "choices.label");
  }
  const auto found = std::ranges::find(labels, f.text("answerKey"));
  if (found == labels.end() || labels.size() != item.choices.size())
    f.fail("has no choice that its answerKey names");
  item.right = static_cast<std::size_t>(found - labels.begin());
  item.id = f.text_or("id");
}

// Both options make a beginning; what is judged is how well the rest of the sentence goes on (the
// partial evaluation of Trinh and Le 2018).
void read_winogrande(const Fields& f, TaskItem& item) {
  item.question = f.text("sentence");
  const std::size_t gap = item.question.find('_');
  if (gap == std::string::npos) f.fail("has no _ in its sentence");
  item.choices = {f.text("option1"), f.text("option2")};
  const std::string answer = f.text("answer");
  if (answer != "1" && answer != "2") f.fail("has no answer 1 or 2");
  item.right = answer == "1" ? 0 : 1;
  for (const std::string& choice : item.choices)
    item.beginnings.push_back(item.question.substr(0, gap) + choice);
  item.answer = trimmed(item.question.substr(gap + 1));
  if (item.answer.empty()) f.fail("has nothing after the _ of its sentence");
  item.id = f.text_or("qID");
}

void read_mmlu(const Fields& f, TaskItem& item) {
  item.question = trimmed(f.text("question"));
  item.choices = f.texts("choices");
  item.subject = f.text_or("subject");
  std::ranges::replace(item.subject, '_', ' ');
  std::string answer = f.text("answer");
  if (answer.size() == 1 && answer[0] >= 'A' && answer[0] <= 'Z')
    answer = std::to_string(answer[0] - 'A');
  item.right = f.choice(answer, item.choices.size());
}

void read_bbh(const Fields& f, TaskItem& item) {
  item.question = f.text("input");
  item.answer = f.text("target");
  // Options "(A) ..." of the question, where the answer is one of them. Three published items have
  // none to choose from: options that were cut at commas (movie_recommendation, ruin_names) or lost
  // (snarks).
  static const std::regex kOption("^\\s*(\\([A-Z]\\))\\s", std::regex::multiline);
  if (item.answer.size() != 3 || item.answer[0] != '(') return;
  for (std::sregex_iterator at(item.question.begin(), item.question.end(), kOption), end; at != end;
       ++at)
    item.choices.push_back((*at)[1]);
  const auto found = std::ranges::find(item.choices, item.answer);
  if (found == item.choices.end()) f.fail("has no option that its target names");
  item.right = static_cast<std::size_t>(found - item.choices.begin());
  if (item.choices.size() < 2) item.choices.clear();
}

// SplitMix64: the same everywhere.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

void read_gpqa(const Fields& f, TaskItem& item) {
  item.question = trimmed(f.text("Question"));
  const std::vector<std::string> published = {
      trimmed(f.text("Correct Answer")), trimmed(f.text("Incorrect Answer 1")),
      trimmed(f.text("Incorrect Answer 2")), trimmed(f.text("Incorrect Answer 3"))};
  std::vector<std::size_t> order(published.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::uint64_t seed = f.index();
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[next_random(seed) % i]);
  for (const std::size_t at : order) {
    if (at == 0) item.right = item.choices.size();
    item.choices.push_back(published[at]);
  }
  item.id = f.text_or("Record ID");
}

void read_human_eval(const Fields& f, TaskItem& item) {
  item.id = f.text("task_id");
  item.question = f.text("prompt");
  item.entry_point = f.text("entry_point");
  item.tests = {f.text("test")};
  item.answer = f.text_or("canonical_solution");
}

void read_mbpp(const Fields& f, TaskItem& item) {
  item.id = f.text_or("task_id");
  item.question = f.text(f.has("text") ? "text" : "prompt");
  item.answer = f.text("code");
  item.tests = f.texts("test_list");
  if (item.tests.empty()) f.fail("has no tests");
  item.setup = f.text_or("test_setup_code");
  if (f.has("test_imports"))
    for (const std::string& line : f.texts("test_imports")) item.imports += line + "\n";
}

void read_summary(const Fields& f, TaskItem& item) {
  item.question = f.text(f.has("document")  ? "document"
                         : f.has("article") ? "article"
                                            : "dialogue");
  item.answer = f.text(f.has("summary") ? "summary" : "highlights");
  item.id = f.text_or("id");
}

using Read = void (*)(const Fields&, TaskItem&);

struct Form {
  TaskForm form;
  const char* name;
  std::vector<const char*> fields;  // that an item of this form has, and no form before it
  Read read;
};

// Those with more particular fields first.
const std::vector<Form>& forms() {
  static const std::vector<Form> kForms = {
      {TaskForm::kHumanEval, "HumanEval", {"prompt", "entry_point", "test"}, read_human_eval},
      {TaskForm::kMbpp, "MBPP", {"code", "test_list"}, read_mbpp},
      {TaskForm::kHellaSwag, "HellaSwag", {"endings"}, read_hella_swag},
      {TaskForm::kWinogrande, "Winogrande", {"sentence", "option1", "option2"}, read_winogrande},
      {TaskForm::kArc, "ARC", {"question", "answerKey"}, read_arc},
      {TaskForm::kMmlu, "MMLU", {"question", "choices", "answer"}, read_mmlu},
      {TaskForm::kBbh, "BBH", {"input", "target"}, read_bbh},
      {TaskForm::kGpqa, "GPQA", {"Question", "Correct Answer"}, read_gpqa},
      {TaskForm::kTrivia, "TriviaQA", {"Question", "Answer"}, read_trivia},
      {TaskForm::kQuestions, "questions", {"question", "answer"}, read_questions},
      {TaskForm::kSummaries, "summaries", {"document", "summary"}, read_summary},
      {TaskForm::kSummaries, "summaries", {"dialogue", "summary"}, read_summary},
      {TaskForm::kSummaries, "summaries", {"article", "highlights"}, read_summary},
      {TaskForm::kSummaries, "summaries", {"article", "summary"}, read_summary},
  };
  return kForms;
}

const Form& form_of(const std::string& path, const Json& item) {
  if (!item.is_object()) throw Error("item 0 is no object", {.file = path});
  // The Hugging Face form of TriviaQA has the same fields as questions and answers.
  if (item.contains("answer") && item["answer"].is_object() && item["answer"].contains("aliases")) {
    for (const Form& form : forms())
      if (form.form == TaskForm::kTrivia) return form;
  }
  for (const Form& form : forms())
    if (std::ranges::all_of(form.fields, [&](const char* name) { return item.contains(name); }))
      return form;
  std::string names;
  for (const auto& [name, value] : item.items()) names += (names.empty() ? "" : ", ") + name;
  throw Error("is of no known form: item 0 has the fields " + printable(names), {.file = path});
}

Json parse(const std::string& path, std::string_view text, std::size_t line) {
  const std::string where = line > 0 ? "line " + std::to_string(line) : "the file";
  if (too_deep(text))
    throw Error(where + " has lists or objects more than " + std::to_string(kMostJsonLevels) +
                    " deep within each other",
                {.file = path});
  try {
    return parse_json(text);
  } catch (const Json::parse_error& error) {
    throw Error(where + " is no JSON, at its byte " + std::to_string(error.byte), {.file = path});
  }
}

// The items as JSON objects.
Json items_of_json(const std::string& path, std::string_view bytes) {
  // JSON lines have a whole value in their first line.
  bytes = without_mark(bytes);
  const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) throw Error("has no items", {.file = path});
  const std::string_view first = bytes.substr(begin, bytes.find('\n', begin) - begin);
  const bool more = bytes.find_first_not_of(" \t\r\n", begin + first.size()) != bytes.npos;
  if (first[0] == '{' && (is_json(first) || !more)) {
    const Json only = more ? Json() : parse(path, first, 1);
    const bool wraps =
        only.is_object() && only.size() > 0 &&
        std::ranges::any_of(only.items(), [](const auto& field) {
          return field.value().is_array() && !field.value().empty() && field.value()[0].is_object();
        });
    if (!wraps) {
      Json items = Json::array();
      std::size_t line = 0;
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
        const std::string_view text = bytes.substr(at, end - at);
        ++line;
        if (text.find_first_not_of(" \t\r") != text.npos) items.push_back(parse(path, text, line));
        at = end + 1;
      }
      return items;
    }
  }
  Json whole = parse(path, bytes, 0);
  if (whole.is_array()) return whole;
  for (const char* name : {"examples", "Data", "data", "questions", "rows"})
    if (whole.is_object() && whole.contains(name) && whole[name].is_array()) return whole[name];
  throw Error("has no list of items", {.file = path});
}

// MMLU's files are named by their subject: abstract_algebra_test.csv. Nothing for other names.
std::string subject_of(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  for (const std::string_view end : {"_test", "_val", "_dev"})
    if (stem.ends_with(end)) return stem.substr(0, stem.size() - end.size());
  return "";
}

// A header names the fields; without one it is a table of MMLU: question, A, B, C, D, answer.
Json items_of_csv(const std::string& path, std::string_view bytes) {
  const auto rows = parse_csv(path, bytes);
  if (rows.empty()) throw Error("has no items", {.file = path});
  Json items = Json::array();
  const auto letter = [](const std::string& text) {
    return text.size() == 1 && text[0] >= 'A' && text[0] <= 'J';
  };
  const bool headless = rows[0].size() >= 4 && letter(rows[0].back());
  for (std::size_t r = headless ? 0 : 1; r < rows.size(); ++r) {
    const auto& row = rows[r];
    if (row.size() != rows[0].size())
      throw Error("row " + std::to_string(r) + " has " + std::to_string(row.size()) +
                      " fields, the first one " + std::to_string(rows[0].size()),
                  {.file = path});
    Json item = Json::object();
    if (headless) {
      item["question"] = row.front();
      item["choices"] = std::vector<std::string>(row.begin() + 1, row.end() - 1);
      item["answer"] = row.back();
      item["subject"] = subject_of(path);
    } else {
      for (std::size_t c = 0; c < row.size(); ++c) item[rows[0][c]] = row[c];
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

std::string name_of(TaskForm form) {
  for (const Form& f : forms())
    if (f.form == form) return f.name;
  return "";
}

std::vector<std::vector<std::string>> parse_csv(const std::string& path, std::string_view bytes) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false, was_quoted = false;
  const auto end_row = [&] {
    row.push_back(std::exchange(field, {}));
    if (row.size() > 1 || !row[0].empty() || was_quoted) rows.push_back(row);
    row.clear();
    was_quoted = false;
  };
  bytes = without_mark(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < bytes.size() && bytes[i + 1] == '"') {
        field += bytes[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty()) {
      quoted = was_quoted = true;
    } else if (c == ',') {
      row.push_back(std::exchange(field, {}));
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r' || i + 1 >= bytes.size() || bytes[i + 1] != '\n') {
      field += c;
    }
  }
  if (quoted)
    throw Error("row " + std::to_string(rows.size()) + " has a quote that is not closed",
                {.file = path});
  if (!field.empty() || !row.empty() || was_quoted) end_row();
  return rows;
}

TaskFile parse_task_file(const std::string& path, std::string_view bytes) {
  const bool csv = path.size() >= 4 && path.ends_with(".csv");
  const Json items = csv ? items_of_csv(path, bytes) : items_of_json(path, bytes);
  if (items.empty()) throw Error("has no items", {.file = path});
  const Form& form = form_of(path, items[0]);
  TaskFile file;
  file.form = form.form;
  file.hash = fingerprint(bytes);
  file.items.resize(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Fields fields(path, i, items[i]);
    TaskItem& item = file.items[i];
    item.index = static_cast<std::int64_t>(i);
    form.read(fields, item);
    item.cluster = fields.text_or("cluster");
    if (item.id.empty()) item.id = fields.text_or("id", std::to_string(i));
    if (item.aliases.empty()) item.aliases = {item.answer};
    if (item.question.empty()) fields.fail("asks nothing");
    if (!item.choices.empty() && item.choices.size() < 2) fields.fail("has a single choice");
    if (!item.choices.empty() && std::ranges::all_of(item.choices, &std::string::empty))
      fields.fail("has choices without text");
  }
  return file;
}

TaskFile read_task_file(const std::string& path) { return parse_task_file(path, read_text(path)); }

}  // namespace brink::tools
