// Grades that need more than the answer's text: the task's other items, or all of its choices.
#include "tools/qeval/task_grading.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tools/qeval/task_file.h"

namespace brink::tools {
namespace {

TaskFile tickets() {
  return parse_task_file(
      "t",
      R"({"question": "Ann Ray here: the bill of $12.50 is wrong, now!", "answer": "{\"name\": \"Ann Ray\", \"kind\": \"billing\", \"sum\": 12.50}"}
{"question": "Bob May writes about login, 3 tries.", "answer": "{\"name\": \"Bob May\", \"kind\": \"account\", \"sum\": 3}"})");
}

TEST(JsonGrader, FieldsAndInventions) {
  const TaskFile task = tickets();
  const TaskGrader grader(Grader::kJson, task);
  const auto grade = [&](const std::string& output) { return grader.text(task.items[0], output); };
  const Grade right =
      grade("```json\n{\"sum\": 12.5, \"kind\": \"billing\", \"name\": \"Ann Ray\"}\n```");
  EXPECT_TRUE(right.correct);
  EXPECT_DOUBLE_EQ(right.score, 1);
  EXPECT_EQ(right.invented, false);

  // A label that another item has is wrong, not invented; a name that only another item has is.
  const Grade label = grade(R"({"name": "Ann Ray", "kind": "account", "sum": 12.50})");
  EXPECT_FALSE(label.correct);
  EXPECT_DOUBLE_EQ(label.score, 2.0 * 2 / (3 + 3));
  EXPECT_EQ(label.invented, false);
  EXPECT_EQ(grade(R"({"name": "Bob May", "kind": "billing", "sum": 12.50})").invented, true);
  EXPECT_EQ(grade(R"({"name": "Ann Ray", "kind": "weather", "sum": 12.50})").invented, true);
  EXPECT_EQ(grade(R"({"name": "Ann Ray", "kind": "billing", "sum": 99})").invented, true);

  // Fields too many and too few.
  EXPECT_DOUBLE_EQ(grade(R"({"name": "Ann Ray"})").score, 2.0 * 1 / (1 + 3));
  EXPECT_EQ(grade(R"({"name": null})").invented, false);
  const Grade more = grade(R"({"name": "Ann Ray", "kind": "billing", "sum": 12.5, "x": 1})");
  EXPECT_FALSE(more.correct);
  EXPECT_DOUBLE_EQ(more.score, 2.0 * 3 / (4 + 3));
  EXPECT_EQ(more.invented, true);

  for (const char* output : {"", "Ann Ray", "{\"name\": ", "Sure: {\"name\": 1}", "```"}) {
    const Grade bad = grade(output);
    EXPECT_FALSE(bad.parsed) << output;
    EXPECT_FALSE(bad.correct);
    EXPECT_EQ(bad.score, 0);
    EXPECT_EQ(bad.invented, std::nullopt);
  }
  EXPECT_TRUE(grade("[]").parsed);
  EXPECT_EQ(grade("{}").score, 0);
}

TEST(JsonGrader, EqualNumbersAreNotInvented) {
  const TaskFile task = parse_task_file(
      "t",
      R"([{"question": "one", "answer": {"n": 1}}, {"question": "two", "answer": {"n": 2.0}}])");
  const TaskGrader grader(Grader::kJson, task);
  for (const char* output : {"{\"n\": 1}", "{\"n\": 1.0}", "{\"n\": 10e-1}", "{\"n\": 2}"})
    EXPECT_EQ(grader.text(task.items[0], output).invented, false) << output;
  EXPECT_TRUE(grader.text(task.items[0], "{\"n\": 1.0}").correct);
  EXPECT_EQ(grader.text(task.items[0], "{\"n\": 1.5}").invented, true);
}

TEST(JsonGrader, DeepNestingIsNoAnswer) {
  const TaskFile task = tickets();
  const TaskGrader grader(Grader::kJson, task);
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_TRUE(grader.text(task.items[0], nested(100)).parsed);
  EXPECT_FALSE(grader.text(task.items[0], nested(101)).parsed);
  EXPECT_FALSE(grader.text(task.items[0], nested(200000)).parsed);
  EXPECT_FALSE(grader.text(task.items[0], std::string(200000, '[')).parsed);
  // Brackets in texts are none.
  EXPECT_TRUE(grader.text(task.items[0], "[\"\\\"" + std::string(500, '[') + "\"]").parsed);
  const TaskFile deep =
      parse_task_file("t", "{\"question\": \"a\", \"answer\": \"" + nested(60000) + "\"}\n");
  EXPECT_THROW(TaskGrader(Grader::kJson, deep), Error);
}

TEST(JsonGrader, ListsAreBags) {
  const TaskFile task =
      parse_task_file("t", R"([{"question": "x y y", "answer": {"list": ["x", "y", "y"]}}])");
  const TaskGrader grader(Grader::kJson, task);
  const Grade moved = grader.text(task.items[0], R"({"list": ["y", "x", "y"]})");
  EXPECT_DOUBLE_EQ(moved.score, 1);
  EXPECT_FALSE(moved.correct);  // another list all the same
  EXPECT_DOUBLE_EQ(grader.text(task.items[0], R"({"list": ["y", "y", "y"]})").score, 2.0 * 2 / 6);
}

TEST(ChoiceGrader, RawAndByLength) {
  TaskItem item;
  item.choices = {"no", "certainly not"};
  item.right = 1;
  const std::vector<ChoiceScore> scores = {{-4.0, 2}, {-6.5, 13}};
  const Grade grade = TaskGrader::choice(item, scores);
  EXPECT_FALSE(grade.correct);
  EXPECT_EQ(grade.details["normalized"], true);
  EXPECT_EQ(grade.details["chosen"], 0);
  const std::vector<ChoiceScore> equal = {{-4.0, 4}, {-4.0, 4}};
  EXPECT_FALSE(TaskGrader::choice(item, equal).correct);  // the first of equals
}

TaskFile open_questions() {
  return parse_task_file("t",
                         "{\"question\": \"a?\", \"answer\": \"A\"}\n"
                         "{\"question\": \"b?\", \"answer\": \"B\"}");
}

TEST(ExactGrader, OutsideAClosedSet) {
  std::string bytes;
  for (int i = 0; i < 4; ++i)
    bytes += "{\"question\": \"" + std::to_string(i) + "\", \"answer\": \"" +
             (i < 2 ? "valid" : "invalid") + "\"}\n";
  const TaskFile closed = parse_task_file("t", bytes);
  const TaskGrader grader(Grader::kExact, closed);
  EXPECT_TRUE(grader.text(closed.items[0], " valid.").correct);
  EXPECT_EQ(grader.text(closed.items[0], "invalid").invented, false);
  EXPECT_EQ(grader.text(closed.items[0], "I think so").invented, true);
  EXPECT_FALSE(grader.text(closed.items[0], "").parsed);
  EXPECT_EQ(grader.text(closed.items[0], "").invented, std::nullopt);
  const TaskFile open = open_questions();
  EXPECT_EQ(TaskGrader(Grader::kExact, open).text(open.items[0], "x").invented, std::nullopt);
}

TEST(Gsm8kGrader, SymbolsThatTheCodeDoesNotHave) {
  const TaskFile task = parse_task_file(
      "t", R"j({"question": "def lum(x):\n    return x - 8\nprint(lum(1))", "answer": "Output: -7"}
{"question": "How many?", "answer": "#### 1"})j");
  const TaskGrader grader(Grader::kGsm8k, task);
  EXPECT_EQ(grader.text(task.items[0], "lum(1) = 1 - 8 = -7. Output: -7").invented, false);
  const Grade wrong = grader.text(task.items[0], "rov(1) = 1 * 8 = 8. Output: 8");
  EXPECT_EQ(wrong.invented, true);
  EXPECT_EQ(wrong.details["unknown"], Json::array({"rov"}));
  EXPECT_EQ(grader.text(task.items[1], "a + b = 1").invented, std::nullopt);
}

TEST(Gsm8kGrader, RefusesAnswersWithoutANumber) {
  const TaskFile task = parse_task_file(
      "t",
      "{\"question\": \"a\", \"answer\": \"1\"}\n{\"question\": \"b\", \"answer\": \"none\"}\n");
  try {
    const TaskGrader grader(Grader::kGsm8k, task);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("item 1 has no number"), std::string::npos);
  }
}

}  // namespace
}  // namespace brink::tools
