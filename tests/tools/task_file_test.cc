// Reading task files in the forms in which their authors publish them, prompts made of them, and
// grades that need more than the answer's text.
#include "tools/qeval/task_file.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tools/qeval/task_grading.h"
#include "tools/qeval/task_prompts.h"

namespace brink::tools {
namespace {

using Texts = std::vector<std::string>;
using testing::reference_data;

TaskItem only(const std::string& bytes, TaskForm form, const std::string& name = "task.jsonl") {
  const TaskFile file = parse_task_file(name, bytes);
  EXPECT_EQ(file.form, form) << name_of(file.form);
  EXPECT_EQ(file.items.size(), 1u);
  return file.items.at(0);
}

std::string error_of(const std::string& bytes, const std::string& name = "task.jsonl") {
  try {
    parse_task_file(name, bytes);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

TEST(TaskFile, Questions) {
  const TaskFile file = parse_task_file("t.jsonl",
                                        "\n{\"question\": \"1+1?\", \"answer\": \"It is 2.\\n#### "
                                        "2\"}\r\n{\"question\": \"b\", \"answer\": 7, "
                                        "\"cluster\": \"c\", \"id\": \"x9\"}\n\n");
  EXPECT_EQ(file.form, TaskForm::kQuestions);
  ASSERT_EQ(file.items.size(), 2u);
  EXPECT_EQ(file.items[0].answer, "It is 2.\n#### 2");
  EXPECT_EQ(file.items[0].id, "0");
  EXPECT_EQ(file.items[1].answer, "7");
  EXPECT_EQ(file.items[1].cluster, "c");
  EXPECT_EQ(file.items[1].id, "x9");
  EXPECT_EQ(file.items[1].index, 1);
  EXPECT_EQ(file.hash.size(), 32u);
  // A right answer in JSON is kept as JSON.
  EXPECT_EQ(
      only("[{\"question\": \"q\", \"answer\": {\"b\": 1, \"a\": [2]}}]", TaskForm::kQuestions)
          .answer,
      "{\"b\":1,\"a\":[2]}");
}

TEST(TaskFile, TriviaQa) {
  const TaskItem a = only(
      "{\"Data\": [{\"Question\": \"Which river?\", \"QuestionId\": \"tc_3\", \"Answer\": "
      "{\"Value\": \"Nile\", \"Aliases\": [\"The Nile\", \"Nile\"], \"NormalizedAliases\": "
      "[\"nile\"]}}], \"Version\": 1.0}",
      TaskForm::kTrivia);
  EXPECT_EQ(a.question, "Which river?");
  EXPECT_EQ(a.id, "tc_3");
  EXPECT_EQ(a.aliases, (Texts{"Nile", "The Nile", "nile"}));
  const TaskItem b = only(
      "{\"question\": \"Which river?\", \"question_id\": \"tc_3\", \"answer\": {\"aliases\": "
      "[\"The Nile\"], \"normalized_aliases\": [\"nile\"], \"value\": \"Nile\"}}\n",
      TaskForm::kTrivia);
  EXPECT_EQ(b.answer, "Nile");
  EXPECT_EQ(b.aliases, (Texts{"Nile", "The Nile", "nile"}));
}

TEST(TaskFile, HellaSwag) {
  const TaskItem a = only(
      "{\"ind\": 24, \"activity_label\": \"Roof\", \"ctx_a\": \"A man is on a roof.\", "
      "\"ctx_b\": \"he\", \"ctx\": \"A man is on a roof. he\", \"label\": 3, \"endings\": "
      "[\"sits.\", \"is [step] up.\", \"rips.\", \"starts [title] Then [x]  pulls.\"]}",
      TaskForm::kHellaSwag);
  EXPECT_EQ(a.question, "Roof: A man is on a roof. He");
  EXPECT_EQ(a.right, 3u);
  EXPECT_EQ(a.choices, (Texts{"sits.", "is up.", "rips.", "starts. Then pulls."}));
  EXPECT_EQ(a.id, "24");
  EXPECT_EQ(
      only("{\"ctx\": \"He\", \"endings\": [\"a\", \"b\"], \"label\": \"1\"}", TaskForm::kHellaSwag)
          .right,
      1u);
}

TEST(TaskFile, Arc) {
  const TaskItem a = only(
      "{\"id\": \"M_1\", \"question\": {\"stem\": \"What is hot?\", \"choices\": [{\"text\": "
      "\"ice\", \"label\": \"1\"}, {\"text\": \"fire\", \"label\": \"2\"}]}, \"answerKey\": "
      "\"2\"}",
      TaskForm::kArc);
  EXPECT_EQ(a.choices, (Texts{"ice", "fire"}));
  EXPECT_EQ(a.right, 1u);
  const TaskItem b = only(
      "{\"id\": \"M_1\", \"question\": \"What is hot?\", \"choices\": {\"text\": [\"ice\", "
      "\"fire\"], \"label\": [\"A\", \"B\"]}, \"answerKey\": \"B\"}",
      TaskForm::kArc);
  EXPECT_EQ(b.question, a.question);
  EXPECT_EQ(b.choices, a.choices);
  EXPECT_EQ(b.right, 1u);
}

TEST(TaskFile, Winogrande) {
  const TaskItem a = only(
      "{\"qID\": \"3QHI-1\", \"sentence\": \"Ann lent Eve a pen because _ had none.\", "
      "\"option1\": \"Ann\", \"option2\": \"Eve\", \"answer\": \"2\"}",
      TaskForm::kWinogrande);
  EXPECT_EQ(a.beginnings,
            (Texts{"Ann lent Eve a pen because Ann", "Ann lent Eve a pen because Eve"}));
  EXPECT_EQ(a.answer, "had none.");
  EXPECT_EQ(a.right, 1u);
}

TEST(TaskFile, Mmlu) {
  const TaskItem a = only(
      "{\"question\": \"Two and two?\", \"subject\": \"sums\", \"choices\": [\"1\", \"2\", "
      "\"3\", \"4\"], \"answer\": 3}",
      TaskForm::kMmlu);
  EXPECT_EQ(a.choices, (Texts{"1", "2", "3", "4"}));
  EXPECT_EQ(a.right, 3u);
  const TaskItem b =
      only("\"Two, \"\"and\"\"\ntwo?\",1,2,\"3,0\",4,D\r\n", TaskForm::kMmlu, "m.csv");
  EXPECT_EQ(b.question, "Two, \"and\"\ntwo?");
  EXPECT_EQ(b.choices, (Texts{"1", "2", "3,0", "4"}));
  EXPECT_EQ(b.right, 3u);
}

TEST(TaskFile, Bbh) {
  const TaskItem a = only(
      "{\"canary\": \"c\", \"examples\": [{\"input\": \"Which?\\nOptions:\\n(A) red\\n(B) "
      "blue\", \"target\": \"(B)\"}]}",
      TaskForm::kBbh);
  EXPECT_EQ(a.choices, (Texts{"(A)", "(B)"}));
  EXPECT_EQ(a.right, 1u);
  EXPECT_EQ(a.answer, "(B)");
  EXPECT_TRUE(
      only("{\"examples\": [{\"input\": \"not True is\", \"target\": \"False\"}]}", TaskForm::kBbh)
          .choices.empty());
}

// As some items of movie_recommendation, ruin_names and snarks were published.
constexpr const char* kLostOptions = R"x({"examples": [
{"input": "Which?\nOptions:\n(A) red\n(B) blue", "target": "(B)"},
{"input": "Which?\nOptions:\n(A) salt\n(B) pepper\n(C) oil", "target": "salt, pepper"},
{"input": "Which?\nOptions:\n(A) The", "target": "(A)"},
{"input": "Which?\nOptions:\n(A) up\n(B) down", "target": "(A)"}]})x";

TEST(TaskFile, BbhItemsWithoutOptions) {
  const TaskFile file = parse_task_file("ruin_names.json", kLostOptions);
  ASSERT_EQ(file.items.size(), 4u);
  EXPECT_EQ(file.items[0].choices.size(), 2u);
  EXPECT_TRUE(file.items[1].choices.empty());
  EXPECT_TRUE(file.items[2].choices.empty());
  EXPECT_EQ(file.items[2].answer, "(A)");  // other graders can still ask it
  EXPECT_NE(error_of("{\"examples\": [{\"input\": \"(A) x\\n(B) y\", \"target\": \"(C)\"}]}")
                .find("no option that its target names"),
            std::string::npos);
}

TEST(TaskFile, GpqaInAnOrderOfItsOwn) {
  std::string csv =
      "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer "
      "2,Incorrect Answer 3\n";
  for (int i = 0; i < 40; ++i)
    csv += "r" + std::to_string(i) + ",\"Why, " + std::to_string(i) + "?\",yes,no 1,no 2,no 3\n";
  const TaskFile file = parse_task_file("gpqa.csv", csv);
  ASSERT_EQ(file.form, TaskForm::kGpqa);
  std::set<std::size_t> places;
  for (const TaskItem& item : file.items) {
    ASSERT_EQ(item.choices.size(), 4u);
    EXPECT_EQ(item.choices[item.right], "yes");
    EXPECT_EQ(std::set<std::string>(item.choices.begin(), item.choices.end()).size(), 4u);
    places.insert(item.right);
  }
  EXPECT_EQ(places.size(), 4u);  // the right one is everywhere
  EXPECT_EQ(file.items[7].id, "r7");
  const TaskFile again = parse_task_file("gpqa.csv", csv);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(again.items[i].choices, file.items[i].choices);
}

TEST(TaskFile, Code) {
  const TaskItem a = only(
      "{\"task_id\": \"HumanEval/0\", \"prompt\": \"def f(x):\\n\", \"entry_point\": \"f\", "
      "\"canonical_solution\": \"    return x\", \"test\": \"def check(c): pass\"}",
      TaskForm::kHumanEval);
  EXPECT_EQ(a.entry_point, "f");
  EXPECT_EQ(a.answer, "    return x");
  const TaskItem b = only(
      "{\"text\": \"Add.\", \"code\": \"def f(x): pass\", \"task_id\": 11, \"test_setup_code\": "
      "\"import re\", \"test_list\": [\"assert f(1) == 2\"], \"challenge_test_list\": []}",
      TaskForm::kMbpp);
  EXPECT_EQ(b.id, "11");
  EXPECT_EQ(b.setup, "import re");
  EXPECT_EQ(b.tests, Texts{"assert f(1) == 2"});
}

TEST(TaskFile, Summaries) {
  EXPECT_EQ(
      only("{\"document\": \"long\", \"summary\": \"short\", \"id\": 5}", TaskForm::kSummaries)
          .answer,
      "short");
  EXPECT_EQ(
      only("{\"article\": \"long\", \"highlights\": \"short\"}", TaskForm::kSummaries).question,
      "long");
}

TEST(TaskFile, NamesWhatIsWrong) {
  EXPECT_NE(error_of("").find("no items"), std::string::npos);
  EXPECT_NE(error_of("[]").find("no items"), std::string::npos);
  EXPECT_NE(error_of("nothing").find("is no JSON"), std::string::npos);
  EXPECT_NE(
      error_of("{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"").find("line 2"),
      std::string::npos);
  EXPECT_NE(error_of("{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"}")
                .find("item 1 has no field 'answer'"),
            std::string::npos);
  EXPECT_NE(error_of("{\"question\": \"a\", \"answer\": \"b\"}\n7").find("item 1 is no object"),
            std::string::npos);
  EXPECT_NE(error_of("{\"x\": 1, \"y\": 2}").find("no known form"), std::string::npos);
  EXPECT_NE(
      error_of("{\"ctx\": \"a\", \"endings\": [\"a\", \"b\"], \"label\": 2}").find("choice 2"),
      std::string::npos);
  EXPECT_NE(
      error_of("{\"ctx\": \"a\", \"endings\": [\"a\", \"b\"], \"label\": \"\"}").find("choice"),
      std::string::npos);
  EXPECT_NE(error_of("{\"question\": \"a\", \"choices\": \"b\", \"answer\": 0}").find("no list"),
            std::string::npos);
  // Published without labels, for a leaderboard.
  EXPECT_NE(error_of("{\"ctx\": \"a\", \"endings\": [\"a\", \"b\"]}").find("no field 'label'"),
            std::string::npos);
  EXPECT_NE(error_of("q,\"a", "x.csv").find("not closed"), std::string::npos);
  EXPECT_NE(error_of("q,1,2,A\nq,1,A\n", "x.csv").find("row 1"), std::string::npos);
}

TEST(TaskFile, ThoseThatWerePublished) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TaskFile gsm8k = read_task_file(reference_data("tasks/gsm8k.test.jsonl"));
  EXPECT_EQ(gsm8k.form, TaskForm::kQuestions);
  EXPECT_EQ(gsm8k.items.size(), 1319u);
  const TaskGrader grader(Grader::kGsm8k, gsm8k);
  // Every published solution is right, and none that another item has unless its number is.
  std::size_t others = 0;
  for (std::size_t i = 0; i < gsm8k.items.size(); ++i) {
    EXPECT_TRUE(grader.text(gsm8k.items[i], gsm8k.items[i].answer).correct) << i;
    others += grader.text(gsm8k.items[i], gsm8k.items[(i + 1) % 1319].answer).correct ? 1 : 0;
  }
  EXPECT_LT(others, 40u);
  const TaskFile human_eval = read_task_file(reference_data("tasks/humaneval.jsonl"));
  EXPECT_EQ(human_eval.form, TaskForm::kHumanEval);
  EXPECT_EQ(human_eval.items.size(), 164u);
}

// --- Prompts ---------------------------------------------------------------------------------

class Prompts : public ::testing::Test {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    model_ = Model::open(reference_data("models-trained/tiny-skills-f16.gguf"));
  }
  std::string text(const TaskFile& task, Grader grader, const std::string& prompt,
                   std::size_t item = 0) {
    TaskPrompts prompts(task, grader, parse_prompt_file("p", prompt));
    std::string warning;
    prompts.use(*model_, &warning);
    EXPECT_EQ(warning, "");
    return prompts.text(task.items[item]);
  }
  std::optional<Model> model_;
};

TaskFile three_questions() {
  return parse_task_file("t",
                         "{\"question\": \"a?\", \"answer\": \"A\"}\n{\"question\": \"b?\", "
                         "\"answer\": \"B\"}\n{\"question\": \"c?\", \"answer\": \"C\"}");
}

TEST_F(Prompts, ByTheModelsTemplateOrPlain) {
  const TaskFile task = three_questions();
  EXPECT_EQ(text(task, Grader::kExact, ""),
            "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text(task, Grader::kExact, "chat: false"), "Question: a?\nAnswer:");
  EXPECT_EQ(text(task, Grader::kExact, "# mine\nchat: false\ntemplate: Q\\t{question} {x: 1}\\n"),
            "Q\ta? {x: 1}\n");
  EXPECT_EQ(text(task, Grader::kExact, "{\"chat\": false, \"template\": \"{question}{question}\"}"),
            "a?a?");
}

TEST_F(Prompts, ShotsAreNeverTheItemItself) {
  const TaskFile task = three_questions();
  const std::string prompt = "chat: false\nshots: 2\nsystem: Hi.\\n\ntemplate: {question}";
  EXPECT_EQ(text(task, Grader::kExact, prompt, 0), "Hi.\nb? B\n\nc? C\n\na?");
  EXPECT_EQ(text(task, Grader::kExact, prompt, 1), "Hi.\na? A\n\nc? C\n\nb?");
  EXPECT_EQ(text(task, Grader::kExact, "shots: 1", 2),
            "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
            "<|im_start|>user\nc?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THROW(text(task, Grader::kExact, "shots: 3"), Error);
}

TEST_F(Prompts, ChoicesAsTheFieldPutsThem) {
  const TaskFile mmlu = parse_task_file(
      "m",
      "{\"question\": \"2+2?\", \"choices\": [\"3\", \"4\"], \"answer\": 1, \"subject\": \"s\"}");
  EXPECT_EQ(text(mmlu, Grader::kChoice, ""), "2+2?\nA. 3\nB. 4\nAnswer:");
  TaskPrompts prompts(mmlu, Grader::kChoice, {});
  std::string warning;
  prompts.use(*model_, &warning);
  const ItemRequests asked = prompts.requests(mmlu.items[0], {});
  ASSERT_EQ(asked.requests.size(), 1u);  // one prompt, two answers
  const Tokenizer& tokenizer = model_->tokenizer();
  EXPECT_EQ(tokenizer.decode(asked.requests[0].prompt), "2+2?\nA. 3\nB. 4\nAnswer:");
  EXPECT_EQ(tokenizer.decode(asked.requests[0].answers[0]), " A");
  EXPECT_EQ(tokenizer.decode(asked.requests[0].answers[1]), " B");
  EXPECT_EQ(asked.requests[0].max_tokens, 0u);

  const TaskFile winogrande = parse_task_file(
      "w",
      "{\"sentence\": \"Ann met Eve as _ sang.\", \"option1\": \"Ann\", \"option2\": \"Eve\", "
      "\"answer\": \"1\"}");
  TaskPrompts sentences(winogrande, Grader::kChoice, {});
  sentences.use(*model_, &warning);
  const ItemRequests both = sentences.requests(winogrande.items[0], {});
  ASSERT_EQ(both.requests.size(), 2u);  // two prompts, one answer each
  EXPECT_EQ(tokenizer.decode(both.requests[1].prompt), "Ann met Eve as Eve");
  EXPECT_EQ(tokenizer.decode(both.requests[1].answers[0]), " sang.");
  EXPECT_EQ(both.choices[1].request, 1u);
}

TEST_F(Prompts, ItemsWithoutChoicesAreLeftOut) {
  const TaskFile task = parse_task_file("ruin_names.json", kLostOptions);
  TaskPrompts prompts(task, Grader::kChoice, {});
  std::vector<bool> taken, texts;
  for (const TaskItem& item : task.items) {
    taken.push_back(prompts.takes(item));
    texts.push_back(TaskPrompts(task, Grader::kExact, {}).takes(item));
  }
  EXPECT_EQ(taken, (std::vector<bool>{true, false, false, true}));
  EXPECT_EQ(texts, (std::vector<bool>{true, true, true, true}));
  // Nor are they shown before another question.
  const std::string shown = text(task, Grader::kChoice, "shots: 1", 0);
  EXPECT_NE(shown.find("(B) down\nA: (A)\n\n"), std::string::npos) << shown;
  EXPECT_THROW(text(task, Grader::kChoice, "shots: 2", 0), Error);
}

TEST_F(Prompts, ClosedSetsAreChoices) {
  std::string bytes = "{\"examples\": [";
  for (int i = 0; i < 6; ++i)
    bytes += std::string(i == 0 ? "" : ", ") + "{\"input\": \"" + std::to_string(i) +
             "\", \"target\": \"" + (i % 2 == 0 ? "True" : "False") + "\"}";
  const TaskFile bbh = parse_task_file("b", bytes + "]}");
  EXPECT_EQ(closed_answers(bbh), (Texts{"False", "True"}));
  TaskPrompts prompts(bbh, Grader::kChoice, {});
  std::string warning;
  prompts.use(*model_, &warning);
  EXPECT_EQ(prompts.right_choice(bbh.items[0]), 1u);
  EXPECT_EQ(prompts.right_choice(bbh.items[1]), 0u);
  EXPECT_EQ(prompts.requests(bbh.items[0], {}).choices.size(), 2u);
  EXPECT_THROW(TaskPrompts(three_questions(), Grader::kChoice, {}), Error);
}

TEST_F(Prompts, SamplesAndTheRightAnswer) {
  const TaskFile task = three_questions();
  TaskPrompts prompts(task, Grader::kExact, {});
  std::string warning;
  prompts.use(*model_, &warning);
  const ItemRequests asked = prompts.requests(task.items[1], {.samples = 3, .seed = 7});
  ASSERT_EQ(asked.requests.size(), 3u);
  std::set<std::uint64_t> seeds;
  for (const GenerationRequest& request : asked.requests) seeds.insert(request.sampling.seed);
  for (const GenerationRequest& request :
       prompts.requests(task.items[2], {.samples = 3, .seed = 7}).requests)
    seeds.insert(request.sampling.seed);
  EXPECT_EQ(seeds.size(), 6u);  // none twice
  ASSERT_TRUE(asked.right);
  EXPECT_EQ(model_->tokenizer().decode(asked.requests[0].answers.at(0)), "B");
  EXPECT_EQ(prompts.requests(task.items[1], {}).requests[0].sampling.temperature, 0);
}

TEST_F(Prompts, FilesThatAreWrong) {
  const TaskFile task = three_questions();
  for (const char* prompt :
       {"template: {nobody}", "shots: many", "shots: -1", "chat: 3", "stop", "what: is this",
        "{\"stop\": \"x\"}", "{\"stop\": [\"\"]}", "{", "shots: 1\nshots: 2", "max_tokens: 0",
        "stop:", "shots_file: /nowhere/x.jsonl"})
    EXPECT_THROW(text(task, Grader::kExact, prompt), Error) << prompt;
  EXPECT_THROW(text(task, Grader::kCode, ""), Error);
}

// --- Grades ----------------------------------------------------------------------------------

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
  }
  EXPECT_TRUE(grade("[]").parsed);
  EXPECT_EQ(grade("{}").score, 0);
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
  const TaskFile open = three_questions();
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

}  // namespace
}  // namespace brink::tools
