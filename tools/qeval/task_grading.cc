#include "tools/qeval/task_grading.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "brink/core/error.h"
#include "brink/eval/graders.h"
#include "tools/support/json_text.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

struct GraderName {
  Grader grader;
  const char* name;
};
constexpr std::array<GraderName, 7> kGraders = {{{Grader::kGsm8k, "gsm8k"},
                                                 {Grader::kExact, "exact"},
                                                 {Grader::kTriviaQa, "triviaqa"},
                                                 {Grader::kJson, "json"},
                                                 {Grader::kChoice, "choice"},
                                                 {Grader::kCode, "code"},
                                                 {Grader::kRouge, "rouge"}}};

constexpr std::size_t kMostClosedAnswers = 26;

// A value of a JSON document without further parts, and where it stands. Places in lists do not
// count: lists are compared as bags.
struct Leaf {
  std::string path;
  Json value;
};

void add_leaves(const Json& json, const std::string& path, std::vector<Leaf>& out) {
  if (json.is_object() && !json.empty()) {
    for (const auto& [name, value] : json.items())
      add_leaves(value, path.empty() ? name : path + "." + name, out);
  } else if (json.is_array() && !json.empty()) {
    for (const Json& value : json) add_leaves(value, path + "[]", out);
  } else {
    out.push_back({path, json});
  }
}

std::vector<Leaf> leaves(const Json& json) {
  std::vector<Leaf> out;
  add_leaves(json, "", out);
  return out;
}

// As it would stand in a text; the same of equal numbers, 1 and 1.0.
std::string written(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  constexpr double kExact = 9007199254740992;  // 2^53
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number == std::trunc(number) && std::abs(number) < kExact)
      return std::to_string(static_cast<std::int64_t>(number));
  }
  return dumped(value);
}

// Says nothing of the world that could be invented.
bool is_plain(const Json& value) {
  return value.is_null() || value.is_boolean() || value.is_structured();
}

double field_f1(const std::vector<Leaf>& given, const std::vector<Leaf>& right) {
  std::vector<bool> taken(right.size(), false);
  std::size_t common = 0;
  for (const Leaf& leaf : given)
    for (std::size_t i = 0; i < right.size(); ++i) {
      if (taken[i] || right[i].path != leaf.path || right[i].value != leaf.value) continue;
      taken[i] = true;
      ++common;
      break;
    }
  return 2.0 * static_cast<double>(common) / static_cast<double>(given.size() + right.size());
}

}  // namespace

std::string name_of(Grader grader) {
  for (const GraderName& g : kGraders)
    if (g.grader == grader) return g.name;
  return "";
}

std::string grader_words() {
  std::string words;
  for (const GraderName& g : kGraders) words += (words.empty() ? "" : "|") + std::string(g.name);
  return words;
}

Grader grader_named(const std::string& name) {
  for (const GraderName& g : kGraders)
    if (g.name == name) return g.grader;
  throw UsageError("--grader '" + name + "' is none of " + grader_words());
}

bool has_accuracy(Grader grader) { return grader != Grader::kRouge; }
bool has_score(Grader grader) { return grader == Grader::kRouge || grader == Grader::kJson; }

std::vector<std::string> closed_answers(const TaskFile& file) {
  std::map<std::string, std::size_t> counts;
  for (const TaskItem& item : file.items) ++counts[normalize_exact(item.answer)];
  std::vector<std::string> out;
  for (const auto& [answer, count] : counts) {
    if (count < 2) return {};
    out.push_back(answer);
  }
  if (out.size() < 2 || out.size() > kMostClosedAnswers) return {};
  return out;
}

TaskGrader::TaskGrader(Grader grader, const TaskFile& file) : grader_(grader) {
  if (grader == Grader::kExact) {
    const auto closed = closed_answers(file);
    answers_.insert(closed.begin(), closed.end());
  }
  const auto refuse = [&](const TaskItem& item, const std::string& what) {
    throw Error("the answer of item " + std::to_string(item.index) + " " + what + ": --grader " +
                name_of(grader) + " cannot be used");
  };
  if (grader == Grader::kGsm8k)
    for (const TaskItem& item : file.items)
      if (!final_number(item.answer)) refuse(item, "has no number");
  if (grader != Grader::kJson) return;
  std::set<std::string> copied, labels;
  for (const TaskItem& item : file.items) {
    if (too_deep(item.answer)) refuse(item, "is JSON of too many levels");
    const Json right = parse_json_if_any(item.answer);
    if (right.is_discarded()) refuse(item, "is no JSON");
    for (const Leaf& leaf : leaves(right)) {
      if (is_plain(leaf.value)) continue;
      (occurs_in(written(leaf.value), item.question) ? copied : labels).insert(leaf.path);
      labels_[leaf.path].insert(written(leaf.value));
    }
  }
  for (auto& [path, values] : labels_)
    if (!labels.contains(path)) values.clear();  // always stands in the question
}

Grade TaskGrader::text(const TaskItem& item, const std::string& output) const {
  switch (grader_) {
    case Grader::kGsm8k: {
      Grade grade;
      const auto given = final_number(output), right = final_number(item.answer);
      grade.parsed = given.has_value();
      grade.correct = given == right;
      grade.score = grade.correct ? 1 : 0;
      if (given) grade.details["answer"] = *given;
      if (holds_code(item.question)) {
        const auto unknown = unknown_symbols(output, item.question);
        grade.invented = !unknown.empty();
        if (!unknown.empty()) grade.details["unknown"] = unknown;
      }
      return grade;
    }
    case Grader::kTriviaQa: {
      Grade grade;
      grade.parsed = !normalize_trivia(output).empty();
      grade.correct = trivia_match(output, item.aliases);
      grade.score = grade.correct ? 1 : 0;
      grade.details["f1"] = trivia_f1(output, item.aliases);
      return grade;
    }
    case Grader::kRouge: {
      Grade grade;
      const RougeScore score = rouge_l(output, item.answer);
      grade.score = score.f1;
      grade.parsed = output.find_first_not_of(" \t\r\n") != std::string::npos;
      grade.details = {{"precision", score.precision}, {"recall", score.recall}};
      return grade;
    }
    case Grader::kJson:
      return json(item, output);
    default:
      return exact(item, output);
  }
}

Grade TaskGrader::exact(const TaskItem& item, const std::string& output) const {
  Grade grade;
  const std::string given = normalize_exact(output);
  grade.parsed = !given.empty();
  grade.correct = std::ranges::any_of(
      item.aliases, [&](const std::string& right) { return normalize_exact(right) == given; });
  grade.score = grade.correct ? 1 : 0;
  if (!answers_.empty() && grade.parsed) grade.invented = !answers_.contains(given);
  return grade;
}

Grade TaskGrader::json(const TaskItem& item, const std::string& output) const {
  Grade grade;
  const Json right = parse_json(item.answer);
  const std::string text = strip_fences(output);
  const Json given = too_deep(text) ? Json(Json::value_t::discarded) : parse_json_if_any(text);
  if (given.is_discarded()) {
    grade.parsed = false;
    return grade;
  }
  const std::vector<Leaf> given_leaves = leaves(given);
  grade.score = field_f1(given_leaves, leaves(right));
  grade.correct = same_but_for_order(given, right);
  Json invented = Json::object();
  for (const Leaf& leaf : given_leaves) {
    if (is_plain(leaf.value)) continue;
    const std::string value = written(leaf.value);
    const auto field = labels_.find(leaf.path);
    if (field != labels_.end() && field->second.contains(value)) continue;
    if (!occurs_in(value, item.question)) invented[leaf.path] = leaf.value;
  }
  grade.invented = !invented.empty();
  if (!invented.empty()) grade.details["invented"] = invented;
  return grade;
}

Grade TaskGrader::choice(const TaskItem& item, std::span<const ChoiceScore> choices) {
  std::size_t best = 0, normalized = 0;
  const auto mean = [&](std::size_t i) {
    return choices[i].log_probability /
           static_cast<double>(std::max<std::size_t>(1, choices[i].bytes));
  };
  Grade grade;
  Json raw = Json::array(), bytes = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].log_probability > choices[best].log_probability) best = i;
    if (mean(i) > mean(normalized)) normalized = i;
    raw.push_back(choices[i].log_probability);
    bytes.push_back(choices[i].bytes);
  }
  grade.correct = best == item.right;
  grade.score = grade.correct ? 1 : 0;
  grade.details = {{"chosen", best},
                   {"right", item.right},
                   {"normalized", normalized == item.right},
                   {"log_probabilities", raw},
                   {"bytes", bytes}};
  return grade;
}

}  // namespace brink::tools
