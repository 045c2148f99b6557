#include "tools/qeval/task_prompts.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "brink/core/error.h"
#include "brink/eval/graders.h"
#include "brink/text/unicode.h"
#include "tools/support/json_text.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

// Templates print today's date: results must not change with it.
constexpr const char* kDate = "2026-01-01";

std::string letter(std::size_t choice) { return std::string(1, static_cast<char>('A' + choice)); }

// What a prompt is when no file says otherwise. `chat` is what the user's turn holds.
struct BuiltIn {
  const char* text;
  const char* chat;
  std::vector<std::string> stop;  // without a chat, where the end of a turn ends the answer
  std::size_t max_tokens;
  const char* separator = " ";
  const char* preamble = "";
};

// As lm-evaluation-harness has it, and where an item has no subject.
constexpr const char* kAboutSubject =
    "The following are multiple choice questions (with answers) about {subject}.\n\n";
constexpr const char* kAboutNothing =
    "The following are multiple choice questions (with answers).\n\n";

BuiltIn built_in(Grader grader, TaskForm form) {
  constexpr const char* kQuestion = "Question: {question}\nAnswer:";
  switch (grader) {
    case Grader::kGsm8k:
      return {kQuestion, "{question}", {"Question:"}, 512};
    case Grader::kExact:
      return {kQuestion, "{question}", {"\n"}, 128};
    case Grader::kTriviaQa:
      return {kQuestion, "{question}", {"\n"}, 32};
    case Grader::kJson:
      return {"{question}", "{question}", {}, 512, "\n"};
    case Grader::kRouge:
      return {"{question}\n\nTL;DR:", "Summarize this text:\n\n{question}", {"\n\n"}, 160};
    case Grader::kCode:
      if (form == TaskForm::kMbpp)
        return {
            "You are an expert Python programmer, and here is your task: {question} Your code "
            "should pass these tests:\n\n{tests}\n[BEGIN]",
            "Write Python code for this task: {question} It should pass these tests:\n\n"
            "{tests}\n",
            {"[DONE]", "[BEGIN]", "\nYou are an expert"},
            512,
            "\n"};
      return {"{question}",
              "Complete this Python function. Answer with the whole function:\n\n{question}",
              {"\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```"},
              512,
              ""};
    case Grader::kChoice:
      break;
  }
  if (answers_with_letters(form)) {
    constexpr const char* kLetters = "{question}\n{choices}\nAnswer:";
    return {kLetters, kLetters, {}, 0, " ", form == TaskForm::kMmlu ? kAboutSubject : ""};
  }
  if (form == TaskForm::kArc || form == TaskForm::kQuestions)
    return {kQuestion, "{question}", {}, 0};
  if (form == TaskForm::kBbh) return {"Q: {question}\nA:", "{question}", {}, 0};
  return {"{question}", "{question}", {}, 0};
}

// `text` with name(value) in the place of each {name}.
std::string with_names(std::string_view text,
                       const std::function<std::string(const std::string&)>& value) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t end = i + 1;
    while (text[i] == '{' && end < text.size() && text[end] >= 'a' && text[end] <= 'z') ++end;
    if (end == i + 1 || end == text.size() || text[end] != '}') {
      out += text[i];  // { too, of a JSON example, say
      continue;
    }
    out += value(std::string(text.substr(i + 1, end - i - 1)));
    i = end;
  }
  return out;
}

// A template that asks nothing would measure nothing, and would do so for hours.
void check_template(const std::string& path, const char* key, const std::string& text, bool asks) {
  bool asked = false;
  with_names(text, [&](const std::string& name) -> std::string {
    if (name == "question" || name == "choices" || name == "tests")
      asked = true;
    else if (name != "subject")
      throw Error(std::string("the prompt's ") + key + " has {" + printable(name, 40) +
                      "}, which is none of {question}, {choices}, {tests} and {subject}",
                  {.file = path});
    return "";
  });
  if (asks && !asked)
    throw Error("the prompt's template has none of {question}, {choices} and {tests}",
                {.file = path});
}

void check_utf8(const std::string& path, std::string_view text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  for (const char* p = begin; p < end;) {
    const unicode::Decoded d = unicode::decode(p, end);
    // U+FFFD itself has three bytes.
    if (d.code_point == unicode::kReplacement &&
        !std::string_view(p, end).starts_with("\xEF\xBF\xBD"))
      throw Error("is no UTF-8, at its byte " + std::to_string(p - begin + 1), {.file = path});
    p += d.bytes;
  }
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'n')
      out += '\n';
    else if (c == 't')
      out += '\t';
    else if (c == '\\')
      out += '\\';
    else
      out += std::string("\\") + c;
  }
  return out;
}

// The lines of a "key: value" file as the JSON that says the same.
Json json_of_lines(const std::string& path, std::string_view text) {
  Json json = Json::object();
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view content = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (content.ends_with('\r')) content.remove_suffix(1);
    if (content.find_first_not_of(" \t") == content.npos || content[0] == '#') continue;
    const std::size_t colon = content.find(':');
    if (colon == content.npos)
      throw Error("line " + std::to_string(line) + " is no 'key: value'", {.file = path});
    const std::string key(content.substr(0, colon));
    std::string_view rest = content.substr(colon + 1);
    if (rest.starts_with(' ')) rest.remove_prefix(1);
    const std::string value = unescaped(rest);
    const bool number = key == "shots" || key == "max_tokens";
    const bool truth = key == "chat" || key == "thinking";
    if (key == "stop") {
      json["stop"].push_back(value);
    } else if (json.contains(key)) {
      throw Error("line " + std::to_string(line) + ": '" + key + "' is given twice",
                  {.file = path});
    } else if ((number || truth) && is_json(value)) {
      json[key] = parse_json(value);
    } else {
      json[key] = value;
    }
  }
  return json;
}

}  // namespace

bool answers_with_letters(TaskForm form) {
  return form == TaskForm::kMmlu || form == TaskForm::kGpqa;
}

PromptFile parse_prompt_file(const std::string& path, std::string_view text) {
  text = without_mark(text);
  check_utf8(path, text);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  Json json;
  if (begin != text.npos && text[begin] == '{') {
    if (too_deep(text)) throw Error("is no prompt: JSON of too many levels", {.file = path});
    try {
      json = parse_json(text);
    } catch (const Json::parse_error& error) {
      throw Error("is no JSON, at its byte " + std::to_string(error.byte), {.file = path});
    }
  } else {
    json = json_of_lines(path, text);
  }
  PromptFile file;
  file.path = path;
  for (const auto& [key, value] : json.items()) {
    const auto fail = [&, &k = key](const std::string& what) {
      throw Error("'" + printable(k, 40) + "' " + what, {.file = path});
    };
    const auto as_text = [&, &v = value] {
      if (!v.is_string()) fail("is no text");
      return v.get<std::string>();
    };
    const auto as_truth = [&, &v = value] {
      if (!v.is_boolean()) fail("is neither true nor false");
      return v.get<bool>();
    };
    const auto as_count = [&, &v = value](std::size_t most) {
      if (!v.is_number_unsigned() || v.get<std::uint64_t>() > most)
        fail("is no number from 0 to " + std::to_string(most));
      return v.get<std::size_t>();
    };
    if (key == "template") {
      file.text = as_text();
      check_template(path, "template", *file.text, true);
    } else if (key == "system") {
      file.system = as_text();
    } else if (key == "preamble") {
      file.preamble = as_text();
      check_template(path, "preamble", *file.preamble, false);
    } else if (key == "chat") {
      file.chat = as_truth();
    } else if (key == "thinking") {
      file.thinking = as_truth();
    } else if (key == "separator") {
      file.separator = as_text();
    } else if (key == "shots") {
      file.shots = as_count(1000);
    } else if (key == "shots_file") {
      // Where the prompt file lies, not where the program is run.
      file.shots_file = (std::filesystem::path(path).parent_path() / as_text()).string();
    } else if (key == "max_tokens") {
      file.max_tokens = as_count(std::size_t{1} << 20);
    } else if (key == "stop") {
      if (!value.is_array()) fail("is no list of texts");
      file.stop.emplace();
      for (const Json& stop : value) {
        if (!stop.is_string() || stop.get<std::string>().empty())
          fail("has an element without text");
        file.stop->push_back(stop);
      }
    } else {
      fail(
          "is no key of a prompt file: template, system, preamble, chat, thinking, separator, "
          "shots, shots_file, max_tokens, stop");
    }
  }
  return file;
}

PromptFile read_prompt_file(const std::string& path) {
  return parse_prompt_file(path, read_text(path));
}

namespace {

// Equal texts are equally probable: which of them was chosen would say nothing.
void check_choices(const TaskItem& item) {
  if (item.choices.empty() || std::ranges::count(item.choices, item.choices[item.right]) < 2)
    return;
  throw Error("item " + std::to_string(item.index) + " has its right choice twice: '" +
              printable(item.choices[item.right], 40) + "'");
}

}  // namespace

TaskPrompts::TaskPrompts(const TaskFile& task, Grader grader, const PromptFile& file)
    : task_(task), grader_(grader), file_(file) {
  const bool choices =
      std::ranges::any_of(task.items, [](const TaskItem& item) { return !item.choices.empty(); });
  if (grader == Grader::kChoice && !choices) {
    closed_ = closed_answers(task);
    if (closed_.empty())
      throw Error(
          "its items have no choices, and their answers are no closed set: --grader choice "
          "cannot be used");
  }
  const bool code = task.form == TaskForm::kHumanEval || task.form == TaskForm::kMbpp;
  if ((grader == Grader::kCode) != code)
    throw Error(code ? "is graded by --grader code" : "has no tests: --grader code cannot be used");
  const bool no_text =
      std::ranges::any_of(task.items, [](const TaskItem& item) { return item.answer.empty(); });
  if (grader != Grader::kChoice && !code && no_text)
    throw Error("its right answers are choices: use --grader choice");
  if (!file.shots_file.empty()) shots_task_ = read_task_file(file.shots_file);
  if (shots_task_ && shots_task_->form != task.form)
    throw Error("is of another form than the task", {.file = file.shots_file});
  shots_ = file.shots.value_or(0);
  const std::size_t there = shots_task_ ? shots_task_->items.size() : task.items.size() - 1;
  if (shots_ > there)
    throw Error("has no " + std::to_string(shots_) + " items to show before the question",
                {.file = file.shots_file});
  if (file.max_tokens && *file.max_tokens == 0 && grader != Grader::kChoice)
    throw Error("a prompt with max_tokens 0 lets the model say nothing", {.file = file.path});
  if (grader != Grader::kChoice) return;
  for (const TaskItem& item : task.items) {
    if (!item.beginnings.empty() && file.chat.value_or(false))
      throw Error("the model goes on with a sentence that is begun: that is no chat's question",
                  {.file = file.path});
    if (takes(item) && !answers_with_letters(task.form)) check_choices(item);
  }
}

void TaskPrompts::use(const Model& model, std::string* warning) {
  model_ = model;
  chat_.reset();
  const bool may_chat = grader_ != Grader::kChoice && grader_ != Grader::kCode;
  if (file_.chat.value_or(may_chat)) {
    try {
      chat_ = ChatTemplate::from_gguf(model.gguf());
    } catch (const Error& error) {
      if (file_.chat) throw;
      if (model.gguf().find("tokenizer.chat_template") != nullptr) *warning = error.what();
    }
  }
  const BuiltIn own = built_in(grader_, task_.form);
  template_ = file_.text.value_or(chat_ ? own.chat : own.text);
  separator_ = chat_ ? "" : file_.separator.value_or(own.separator);
  system_ = file_.system.value_or("");
  preamble_ = chat_ ? "" : file_.preamble.value_or(file_.text ? "" : own.preamble);
  stop_ = file_.stop.value_or(chat_ ? std::vector<std::string>{} : own.stop);
  max_tokens_ = grader_ == Grader::kChoice ? 0 : file_.max_tokens.value_or(own.max_tokens);
}

bool TaskPrompts::takes(const TaskItem& item) const {
  return grader_ != Grader::kChoice || !closed_.empty() || !item.choices.empty();
}

std::string TaskPrompts::fill(const std::string& text, const TaskItem& item,
                              const std::string& question) const {
  return with_names(text, [&](const std::string& name) {
    if (name == "question") return question;
    if (name == "subject") return item.subject;
    std::string out;
    if (name == "tests")
      for (const std::string& test : item.tests) out += (out.empty() ? "" : "\n") + test;
    else
      for (std::size_t c = 0; c < item.choices.size(); ++c)
        out += (c == 0 ? "" : "\n") + letter(c) + ". " + item.choices[c];
    return out;
  });
}

std::string TaskPrompts::asked(const TaskItem& item, const std::string* beginning) const {
  return fill(template_, item, beginning != nullptr ? *beginning : item.question);
}

std::string TaskPrompts::preamble_of(const TaskItem& item) const {
  const bool nothing = !file_.preamble && item.subject.empty() && !preamble_.empty();
  return nothing ? kAboutNothing : fill(preamble_, item, item.question);
}

std::vector<std::string> TaskPrompts::choices_of(const TaskItem& item) const {
  if (!closed_.empty()) return closed_;
  if (!answers_with_letters(task_.form)) return item.choices;
  std::vector<std::string> letters;
  for (std::size_t c = 0; c < item.choices.size(); ++c) letters.push_back(letter(c));
  return letters;
}

std::size_t TaskPrompts::right_choice(const TaskItem& item) const {
  if (closed_.empty()) return item.right;
  const auto found = std::ranges::find(closed_, normalize_exact(item.answer));
  return static_cast<std::size_t>(found - closed_.begin());
}

std::string TaskPrompts::shown_answer(const TaskItem& item) const {
  // A model learns from the shots where to stop.
  if (task_.form == TaskForm::kMbpp && !chat_ && template_.find("[BEGIN]") != template_.npos)
    return item.answer + "\n[DONE]";
  if (grader_ != Grader::kChoice || !closed_.empty()) return item.answer;
  if (!item.beginnings.empty()) return item.answer;
  return choices_of(item)[item.right];
}

// The first ones that are not the item itself.
std::vector<const TaskItem*> TaskPrompts::shots_for(const TaskItem& item) const {
  std::vector<const TaskItem*> out;
  const TaskFile& from = shots_task_ ? *shots_task_ : task_;
  // Exam questions of another subject do not show what this one is like.
  const bool by_subject =
      !item.subject.empty() &&
      std::ranges::any_of(from.items, [](const TaskItem& shot) { return !shot.subject.empty(); });
  for (const TaskItem& shot : from.items) {
    if (out.size() == shots_) break;
    const bool alike = !by_subject || shot.subject == item.subject;
    if (shot.question != item.question && alike && takes(shot)) out.push_back(&shot);
  }
  if (out.size() < shots_)
    throw Error("item " + std::to_string(item.index) + ": there are too few other questions " +
                (item.subject.empty() ? "" : "about '" + printable(item.subject, 40) + "' ") +
                "to show before it");
  return out;
}

std::string TaskPrompts::rendered(const TaskItem& item, const std::string* beginning) const {
  if (chat_) {
    std::vector<ChatMessage> messages;
    if (!system_.empty()) messages.push_back({"system", system_});
    for (const TaskItem* shot : shots_for(item)) {
      messages.push_back({"user", asked(*shot)});
      messages.push_back({"assistant", shown_answer(*shot)});
    }
    messages.push_back({"user", asked(item, beginning)});
    ChatOptions options;
    options.thinking = file_.thinking;
    options.date = kDate;
    return chat_->apply(messages, options);
  }
  std::string out = system_ + preamble_of(item);
  for (const TaskItem* shot : shots_for(item)) {
    const std::string* begun = shot->beginnings.empty() ? nullptr : &shot->beginnings[shot->right];
    out += asked(*shot, begun) + separator_ + shown_answer(*shot) + "\n\n";
  }
  return out + asked(item, beginning);
}

// Tokens of the prompt and of the answer after it, as the model would read both in one text. Where
// a token reaches over the border, it belongs to the answer.
std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> TaskPrompts::split(
    const std::string& prompt, const std::string& answer) const {
  const Tokenizer& tokenizer = model_->tokenizer();
  const EncodeOptions encode{.add_special = true, .parse_special = chat_.has_value()};
  std::vector<std::int32_t> alone = tokenizer.encode(prompt, encode);
  std::vector<std::int32_t> both = tokenizer.encode(prompt + answer, encode);
  // An EOS that encode() adds is not part of the text.
  if (tokenizer.adds_eos())
    for (auto* ids : {&alone, &both})
      if (!ids->empty() && ids->back() == tokenizer.eos()) ids->pop_back();
  auto border = std::ranges::mismatch(alone, both).in2;
  if (border == both.end() && border != both.begin()) --border;  // something must be answered
  std::vector<std::int32_t> rest(border, both.end());
  both.erase(border, both.end());
  return {std::move(both), std::move(rest)};
}

ItemRequests TaskPrompts::requests(const TaskItem& item, const Sampling& sampling) const {
  ItemRequests out;
  const auto place = [&](const std::string& prompt, const std::string& answer, std::size_t bytes) {
    auto [before, after] = split(prompt, answer);
    if (before.empty()) throw Error("item " + std::to_string(item.index) + " has an empty prompt");
    auto found = std::ranges::find_if(
        out.requests, [&p = before](const GenerationRequest& r) { return r.prompt == p; });
    if (found == out.requests.end()) {
      out.requests.push_back({.prompt = std::move(before), .answers = {}});
      found = out.requests.end() - 1;
    }
    found->answers.push_back(std::move(after));
    return ItemRequests::Place{static_cast<std::size_t>(found - out.requests.begin()),
                               found->answers.size() - 1, bytes};
  };
  const std::string prompt = rendered(item);
  if (grader_ == Grader::kChoice) {
    const std::vector<std::string> choices = choices_of(item);
    for (std::size_t c = 0; c < choices.size(); ++c) {
      if (item.beginnings.empty()) {
        out.choices.push_back(place(prompt, separator_ + choices[c], choices[c].size()));
      } else {
        out.choices.push_back(place(rendered(item, &item.beginnings[c]), separator_ + item.answer,
                                    item.answer.size()));
      }
    }
    return out;
  }
  const EncodeOptions encode{.add_special = true, .parse_special = chat_.has_value()};
  GenerationRequest request;
  request.prompt = model_->tokenizer().encode(prompt, encode);
  if (model_->tokenizer().adds_eos() && !request.prompt.empty() &&
      request.prompt.back() == model_->tokenizer().eos())
    request.prompt.pop_back();
  if (request.prompt.empty())
    throw Error("item " + std::to_string(item.index) + " has an empty prompt");
  request.max_tokens = max_tokens_;
  for (std::size_t s = 0; s < std::max<std::size_t>(1, sampling.samples); ++s) {
    out.requests.push_back(request);
    if (sampling.samples == 0) continue;
    // Every sample of every item has a stream of its own, whatever is run beside it.
    const std::uint64_t stream = static_cast<std::uint64_t>(item.index) * 0x9E3779B97F4A7C15u + s;
    out.requests.back().sampling = {.temperature = sampling.temperature,
                                    .seed = sampling.seed * 0xD1342543DE82EF95u + stream};
  }
  if (item.answer.empty()) return out;
  auto [before, after] = split(prompt, separator_ + item.answer);
  if (before == request.prompt) {
    out.requests[0].answers.push_back(std::move(after));
    out.right = ItemRequests::Place{0, 0, item.answer.size()};
  } else {
    out.requests.push_back({.prompt = std::move(before), .answers = {std::move(after)}});
    out.right = ItemRequests::Place{out.requests.size() - 1, 0, item.answer.size()};
  }
  return out;
}

Json TaskPrompts::options() const {
  Json json = {{"template", template_}, {"separator", separator_},   {"system", system_},
               {"shots", shots_},       {"max_tokens", max_tokens_}, {"stop", stop_}};
  if (!preamble_.empty()) json["preamble"] = preamble_;
  if (shots_task_) json["shots_hash"] = shots_task_->hash;
  json["chat"] = chat_ ? std::string(chat_->name()) : "";
  if (file_.thinking) json["thinking"] = *file_.thinking;
  return json;
}

}  // namespace brink::tools
