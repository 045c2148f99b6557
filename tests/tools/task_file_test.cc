// Reading task files in the forms in which their authors publish them, and prompts made of them.
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
  EXPECT_NE(error_of(R"({"question": "a", "choices": ["", ""], "answer": 0})")
                .find("item 0 has choices without text"),
            std::string::npos);
  EXPECT_NE(error_of("q,\"a", "x.csv").find("not closed"), std::string::npos);
  EXPECT_NE(error_of("q,1,2,A\nq,1,A\n", "x.csv").find("row 1"), std::string::npos);
}

TEST(TaskFile, ByteOrderMarks) {
  const std::string mark = "\xEF\xBB\xBF", item = R"({"question": "a", "answer": "b"})";
  EXPECT_EQ(only(mark + item + "\n", TaskForm::kQuestions).question, "a");
  EXPECT_EQ(only(mark + "[" + item + "]", TaskForm::kQuestions).question, "a");
  EXPECT_EQ(only(mark + "question,answer\na,b\n", TaskForm::kQuestions, "t.csv").question, "a");
  EXPECT_EQ(parse_prompt_file("p", mark + "shots: 2").shots, 2u);
  EXPECT_EQ(parse_prompt_file("p", mark + "{\"shots\": 2}").shots, 2u);
}

TEST(TaskFile, DeepNestingIsRefused) {
  const auto nested = [](std::size_t levels) {
    return "{\"question\": \"a\", \"answer\": " + std::string(levels, '[') +
           std::string(levels, ']') + "}";
  };
  EXPECT_EQ(only(nested(99), TaskForm::kQuestions).question, "a");
  for (const std::string& bytes :
       {nested(100), nested(150000), "[" + nested(150000) + "]", std::string(150000, '[')})
    EXPECT_NE(error_of(bytes).find("more than 100 deep"), std::string::npos);
  EXPECT_THROW(parse_prompt_file("p", "{\"stop\": " + std::string(150000, '[')), Error);
}

TEST(TaskFile, SubjectsOfMmlu) {
  const std::string row = "Which?,a,b,c,d,B\n";
  const auto subject = [&](const std::string& name) {
    return parse_task_file(name, row).items.at(0).subject;
  };
  EXPECT_EQ(subject("data/test/abstract_algebra_test.csv"), "abstract algebra");
  EXPECT_EQ(subject("us_history_dev.csv"), "us history");
  EXPECT_EQ(subject("law_val.csv"), "law");
  EXPECT_EQ(subject("questions.csv"), "");
  EXPECT_EQ(
      only(R"({"question": "q", "subject": "us_history", "choices": ["a", "b"], "answer": 0})",
           TaskForm::kMmlu)
          .subject,
      "us history");
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
  const std::string about =
      "The following are multiple choice questions (with answers) about s.\n\n";
  EXPECT_EQ(text(mmlu, Grader::kChoice, ""), about + "2+2?\nA. 3\nB. 4\nAnswer:");
  TaskPrompts prompts(mmlu, Grader::kChoice, {});
  std::string warning;
  prompts.use(*model_, &warning);
  const ItemRequests asked = prompts.requests(mmlu.items[0], {});
  ASSERT_EQ(asked.requests.size(), 1u);  // one prompt, two answers
  const Tokenizer& tokenizer = model_->tokenizer();
  EXPECT_EQ(tokenizer.decode(asked.requests[0].prompt), about + "2+2?\nA. 3\nB. 4\nAnswer:");
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

TEST_F(Prompts, PreambleOfASubject) {
  const auto item = [](const std::string& question, const std::string& subject) {
    return "{\"question\": \"" + question +
           R"(", "choices": ["x", "y"], "answer": 1, "subject": ")" + subject + "\"}\n";
  };
  const TaskFile task = parse_task_file(
      "m", item("1?", "us_history") + item("2?", "law") + item("3?", "law") + item("4?", ""));
  const std::string end = "\nA. x\nB. y\nAnswer:";
  const std::string begin = "The following are multiple choice questions (with answers)";
  EXPECT_EQ(text(task, Grader::kChoice, "", 0), begin + " about us history.\n\n1?" + end);
  EXPECT_EQ(text(task, Grader::kChoice, "shots: 1", 1),
            begin + " about law.\n\n3?" + end + " B\n\n2?" + end);
  EXPECT_EQ(text(task, Grader::kChoice, "", 3), begin + ".\n\n4?" + end);
  EXPECT_THROW(text(task, Grader::kChoice, "shots: 1", 0), Error);  // no other of its subject
  EXPECT_EQ(text(task, Grader::kChoice, "preamble: {subject}:\\n\nsystem: {subject}!\\n", 1),
            "{subject}!\nlaw:\n2?" + end);
  EXPECT_EQ(text(task, Grader::kChoice, "preamble:", 1), "2?" + end);
  EXPECT_EQ(text(task, Grader::kChoice, "template: {question}", 1), "2?");
}

TEST_F(Prompts, SentencesInATemplate) {
  const TaskFile task = parse_task_file(
      "w",
      R"({"sentence": "Ann met Eve as _ sang.", "option1": "Ann", "option2": "Eve", "answer": "1"}
{"sentence": "The cup is in the box as _ is small.", "option1": "box", "option2": "cup", "answer": "2"})");
  TaskPrompts prompts(task, Grader::kChoice,
                      parse_prompt_file("p", "template: So: {question}\nshots: 1"));
  std::string warning;
  prompts.use(*model_, &warning);
  const ItemRequests asked = prompts.requests(task.items[0], {});
  ASSERT_EQ(asked.requests.size(), 2u);
  const std::string shot = "So: The cup is in the box as cup is small.\n\n";
  EXPECT_EQ(model_->tokenizer().decode(asked.requests[0].prompt), shot + "So: Ann met Eve as Ann");
  EXPECT_EQ(model_->tokenizer().decode(asked.requests[1].prompt), shot + "So: Ann met Eve as Eve");
  EXPECT_THROW(TaskPrompts(task, Grader::kChoice, parse_prompt_file("p", "chat: true")), Error);
}

TEST_F(Prompts, ShotsOfMbppShowWhereToStop) {
  const TaskFile task = parse_task_file(
      "m", R"j({"text": "Add.", "code": "def f(): pass", "test_list": ["assert f()"]}
{"text": "Sub.", "code": "def g(): pass", "test_list": ["assert g()"]})j");
  const std::string shown = text(task, Grader::kCode, "shots: 1");
  EXPECT_NE(shown.find("assert g()\n[BEGIN]\ndef g(): pass\n[DONE]\n\nYou are an expert"),
            std::string::npos)
      << shown;
  EXPECT_TRUE(shown.ends_with("assert f()\n[BEGIN]")) << shown;
  EXPECT_EQ(text(task, Grader::kCode, "shots: 1\ntemplate: {question}"),
            "Sub.\ndef g(): pass\n\nAdd.");
}

TEST(PromptFiles, EqualChoicesAreRefused) {
  const auto refuses = [](const std::string& bytes) {
    const TaskFile task = parse_task_file("t", bytes);
    try {
      TaskPrompts(task, Grader::kChoice, {});
    } catch (const Error& error) {
      return std::string(error.what()).find("item 0") != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses(R"({"ctx": "He", "endings": ["a", "b", "a"], "label": 2})"));
  EXPECT_FALSE(refuses(R"({"ctx": "He", "endings": ["a", "b", "a"], "label": 1})"));
  EXPECT_TRUE(
      refuses(R"({"sentence": "As _ sang.", "option1": "Ann", "option2": "Ann", "answer": "1"})"));
  // Their letters differ.
  EXPECT_FALSE(refuses(R"({"question": "a", "choices": ["x", "x"], "answer": 0})"));
}

TEST(PromptFiles, ErrorsNameTheFile) {
  for (const std::string prompt :
       {"template: {bogus}", "template: {question} {bogus}", "preamble: {bogus}",
        "template: Say something.", "template: {subject}", "system: \xFF", "{\"system\": \"\xFF\"}",
        "shots: many", "{", "what: is this"}) {
    try {
      parse_prompt_file("my.prompt", prompt);
      ADD_FAILURE() << prompt;
    } catch (const Error& error) {
      EXPECT_EQ(error.place().file, "my.prompt") << prompt << ": " << error.what();
    }
  }
  for (const char* prompt :
       {"template: {choices}", "template: {tests}", "system: \xEF\xBF\xBD\xC3\xA9"})
    EXPECT_NO_THROW(parse_prompt_file("my.prompt", prompt)) << prompt;
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

}  // namespace
}  // namespace brink::tools
