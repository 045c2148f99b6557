#include "brink/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/writer.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"

namespace brink {
namespace {

using nlohmann::json;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<ChatMessage> messages_of(const json& test) {
  std::vector<ChatMessage> messages;
  for (const json& m : test["messages"]) messages.push_back({m["role"], m["content"]});
  return messages;
}

ChatOptions options_of(const json& test) {
  ChatOptions options;
  options.add_generation_prompt = test["add_generation_prompt"];
  options.date = test["date"];
  if (test["options"].contains("enable_thinking")) {
    options.thinking = test["options"]["enable_thinking"].get<bool>();
  }
  return options;
}

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string s, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = s.find(from, at)) != std::string::npos; at += to.size()) {
    s.replace(at, from.size(), to);
  }
  return s;
}

// Every conversation of the reference data, from the templates as published.
TEST(ChatTemplate, RendersWhatThePublishedTemplatesRender) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const json tests = json::parse(read(testing::reference_data("templates/expected.json")));
  ASSERT_EQ(tests.size(), 72u);
  for (const json& test : tests) {
    const std::string file = test["template"];
    const auto chat = ChatTemplate::from_text(read(testing::reference_data("templates/" + file)),
                                              test["bos_token"].get<std::string>(),
                                              test["eos_token"].get<std::string>());
    EXPECT_EQ(chat.apply(messages_of(test), options_of(test)), test["expected"].get<std::string>())
        << file << ' ' << test["conversation"];
  }
}

TEST(ChatTemplate, NamesTheFamilies) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::map<std::string, std::string> families{
      {"Qwen-Qwen2.5-7B-Instruct", "qwen2.5"},
      {"Qwen-Qwen3-0.6B", "qwen3"},
      {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-r1"},
      {"meta-llama-Llama-3.1-8B-Instruct", "llama3.1"},
      {"meta-llama-Llama-3.2-3B-Instruct", "llama3.2"},
      {"mistralai-Mistral-Nemo-Instruct-2407", "mistral-v3-tekken"},
      {"Mistral-Small-3.2-24B-Instruct-2506", "mistral-v7-tekken"}};
  for (const auto& [file, family] : families) {
    const std::string jinja = read(testing::reference_data("templates/" + file + ".jinja"));
    EXPECT_EQ(ChatTemplate::from_text(jinja, "", "").name(), family);
  }
}

// Edits that change nothing of what a template renders change nothing here: the space inside of
// blocks, comments, the kind of quotes, attributes written as items, Windows line ends.
TEST(ChatTemplate, RecognitionSurvivesEditsWithoutMeaning) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const json tests = json::parse(read(testing::reference_data("templates/expected.json")));
  for (const json& test : tests) {
    const std::string file = test["template"];
    const std::string jinja = read(testing::reference_data("templates/" + file));
    std::vector<std::string> edited{replaced(jinja, "{%- ", "{%-\n\t   "),
                                    replaced(jinja, " -%}", "-%}"),
                                    "{#- by somebody -#}\n" + jinja + "\n",
                                    replaced(jinja, " + ", "  +  "),
                                    replaced(jinja, "message.role", "message['role']"),
                                    replaced(jinja, "message['content']", "message.content"),
                                    replaced(jinja, "== \"user\"", "== 'user'")};
    for (const std::string& text : edited) {
      const auto chat = ChatTemplate::from_text(text, test["bos_token"].get<std::string>(),
                                                test["eos_token"].get<std::string>());
      ASSERT_EQ(chat.apply(messages_of(test), options_of(test)),
                test["expected"].get<std::string>())
          << file << "\n"
          << text.substr(0, 200);
    }
  }
}

// tests/data/chat: see the README there. By name, with the family's own tokens.
TEST(ChatTemplate, NamedFamiliesRenderTheGoldenConversations) {
  const json tests = json::parse(read(BRINK_SOURCE_DIR "/tests/data/chat/rendered.json"));
  std::set<std::string> seen;
  for (const json& test : tests) {
    const std::string name = test["name"];
    seen.insert(name);
    const auto chat = ChatTemplate::by_name(name);
    EXPECT_EQ(chat.name(), name);
    if (test["expected"].is_null()) {
      EXPECT_THROW(chat.apply(messages_of(test), options_of(test)), Error) << test.dump();
    } else {
      EXPECT_EQ(chat.apply(messages_of(test), options_of(test)),
                test["expected"].get<std::string>())
          << test.dump();
    }
  }
  EXPECT_TRUE(std::ranges::equal(
      seen, std::set<std::string>(ChatTemplate::names().begin(), ChatTemplate::names().end())));
}

// Variants whose spacing, default system prompt and generation prompt are their own: read from the
// template, not assumed.
TEST(ChatTemplate, ReadsTheVariablePartsFromTheTemplate) {
  const std::vector<ChatMessage> messages{{"user", " q "}, {"assistant", " a "}, {"user", "r"}};
  const auto render = [&](std::string_view jinja) {
    return ChatTemplate::from_text(jinja, "<s>", "</s>").apply(messages);
  };
  // Text outside of blocks and another name for the loop's variable.
  EXPECT_EQ(render("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
                   "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
                   "{% endif %}"),
            "<|im_start|>user\n q <|im_end|>\n<|im_start|>assistant\n a <|im_end|>\n"
            "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n");
  // A default system prompt, no newline after a turn, a generation prompt that thinks.
  EXPECT_EQ(
      render("{{ bos_token }}{% for message in messages %}"
             "{% if loop.first and messages[0]['role'] != 'system' %}"
             "{{ '<|im_start|>system\nBe 7.<|im_end|>' }}{% endif %}"
             "{{ '<|im_start|>' + message.role + '\n' + message.content|trim + '<|im_end|>' }}"
             "{% endfor %}{% if add_generation_prompt %}"
             "{{ '<|im_start|>assistant\n<think>' }}{% endif %}"),
      "<s><|im_start|>system\nBe 7.<|im_end|><|im_start|>user\nq<|im_end|>"
      "<|im_start|>assistant\na<|im_end|><|im_start|>user\nr<|im_end|>"
      "<|im_start|>assistant\n<think>");
  // The newline after `}}` is printed, the one after `%}` is not (trim_blocks).
  EXPECT_EQ(render("{% for message in messages %}\n  {% if message['role'] == 'user' %}\n"
                   "{{ '<|user|>' + message['content'] + eos_token }}\n"
                   "  {% elif message['role'] == 'assistant' %}\n"
                   "{{ '<|assistant|>' + message['content'] + eos_token -}}\n  {% endif %}\n"
                   "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n"
                   "{% endif %}\n{% endfor %}\n"),
            "<|user|> q </s>\n<|assistant|> a </s><|user|>r</s>\n<|assistant|>\n");
  // Mistral before v1: no space before [INST], one after EOS.
  const std::string old =
      "{{ bos_token }}{% for message in messages %}"
      "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('x') }}"
      "{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' "
      "}}"
      "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}"
      "{% else %}{{ raise_exception('y') }}{% endif %}{% endfor %}";
  EXPECT_EQ(render(old), "<s>[INST]  q  [/INST] a </s> [INST] r [/INST]");
  EXPECT_THROW(ChatTemplate::from_text(old, "", "")
                   .apply(std::vector<ChatMessage>{{"system", "s"}, {"user", "u"}}),
               Error);
  // Llama 3 as first published: always opens the answer.
  const std::string llama3 =
      "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
      "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 "
      "%}"
      "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
      "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}";
  EXPECT_TRUE(ChatTemplate::from_text(llama3, "<b>", "")
                  .apply(messages, {.add_generation_prompt = false})
                  .ends_with("r<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"));
}

TEST(ChatTemplate, Qwen3ThinkingSwitch) {
  const auto chat = ChatTemplate::by_name("qwen3");
  const std::vector<ChatMessage> messages{{"user", "q"}};
  const std::string open = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(chat.apply(messages), open);
  EXPECT_EQ(chat.apply(messages, {.thinking = true}), open);
  EXPECT_EQ(chat.apply(messages, {.thinking = false}), open + "<think>\n\n</think>\n\n");
}

TEST(ChatTemplate, ToolAnswersShareAUserTurn) {
  const std::vector<ChatMessage> messages{
      {"user", "q"}, {"assistant", "call"}, {"tool", "1"}, {"tool", "2"}};
  EXPECT_EQ(ChatTemplate::by_name("qwen3-instruct").apply(messages),
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\ncall<|im_end|>\n"
            "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n"
            "</tool_response><|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, DatesAreCheckedAndDefaultToToday) {
  const auto chat = ChatTemplate::by_name("llama3.2");
  const std::vector<ChatMessage> messages{{"user", "q"}};
  const auto has = [&](const std::string& date, const std::string& text) {
    return chat.apply(messages, {.date = date}).find("Today Date: " + text + "\n\n") !=
           std::string::npos;
  };
  EXPECT_TRUE(has("2024-02-29", "29 Feb 2024"));
  EXPECT_TRUE(has("2026-09-01", "01 Sep 2026"));
  for (const char* date : {"2026-02-29", "2026-13-01", "21 Nov 2026", "2026-1-01", "2026-11-2x"}) {
    EXPECT_NE(error_of([&] { chat.apply(messages, {.date = date}); }).find(date),
              std::string::npos);
  }
  // Midnight may pass between the two.
  const auto today = [] {
    const std::time_t now = std::time(nullptr);
    std::array<char, 32> text{};
    const std::size_t size =
        std::strftime(text.data(), text.size(), "%Y-%m-%d", std::localtime(&now));
    return std::string(text.data(), size);
  };
  const std::string before = today();
  const std::string rendered = chat.apply(messages);
  EXPECT_TRUE(rendered == chat.apply(messages, {.date = before}) ||
              rendered == chat.apply(messages, {.date = today()}));
}

TEST(ChatTemplate, ConversationsThatATemplateRefusesAreErrors) {
  for (const std::string_view name : ChatTemplate::names()) {
    EXPECT_THROW(ChatTemplate::by_name(name).apply({}), Error) << name;
  }
  const std::vector<ChatMessage> late_system{{"user", "q"}, {"system", "s"}};
  for (const char* name : {"llama2", "mistral-v1", "mistral-v3", "mistral-v3-tekken"}) {
    EXPECT_THROW(ChatTemplate::by_name(name).apply(late_system), Error) << name;
  }
  // These would leave the message out without a word.
  const std::vector<ChatMessage> unknown{{"user", "q"}, {"developer", "d"}};
  for (const char* name : {"qwen2.5", "qwen3", "deepseek-r1", "zephyr"}) {
    EXPECT_NE(error_of([&] { ChatTemplate::by_name(name).apply(unknown); }).find("developer"),
              std::string::npos)
        << name;
  }
}

TEST(ChatTemplate, UnknownTemplatesSayWhatToPassInstead) {
  const std::vector<std::string> unknown{
      "", "no template at all",
      "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}",
      "{% for message in messages %}{{ '<start_of_turn>' + message['role'] | upper }}{% endfor %}",
      // ChatML with something more in it.
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '<|im_sep|>' + "
      "message['content'] | upper + '<|im_end|>'}}{% endfor %}",
      "{% for message in messages %}{% if loop.last %}!{% endif %}{{'<|im_start|>' + message.role "
      "+ "
      "'\n' + message.content + '<|im_end|>\n'}}{% endfor %}"};
  for (const std::string& jinja : unknown) {
    const std::string error = error_of([&] { ChatTemplate::from_text(jinja, "", ""); });
    for (const std::string_view name : ChatTemplate::names()) {
      EXPECT_NE(error.find(name), std::string::npos) << jinja;
    }
  }
  EXPECT_NE(error_of([] { ChatTemplate::by_name("gpt"); }).find("mistral-v3-tekken"),
            std::string::npos);
}

TEST(ChatTemplate, FromGguf) {
  const testing::TemporaryFolder folder;
  const std::string jinja =
      "{{ bos_token }}{% for message in messages %}{{ message['content'] + eos_token }}{% endfor "
      "%}";
  const auto file = [&](const std::string& name, bool with_template, bool with_ids) {
    GgufWriter writer(folder.path(name));
    writer.set("general.architecture", "llama");
    writer.set("tokenizer.ggml.model", "llama");
    writer.set_array("tokenizer.ggml.tokens",
                     std::vector<std::string>{"<unk>", "<one>", "<two>", "<three>", "<four>"});
    if (with_ids) {
      writer.set("tokenizer.ggml.bos_token_id", std::uint32_t{3});
      writer.set("tokenizer.ggml.eos_token_id", std::uint32_t{4});
    }
    if (with_template) writer.set("tokenizer.chat_template", jinja);
    writer.finish();
    return Gguf::open(folder.path(name));
  };
  const std::vector<ChatMessage> messages{{"user", "a"}, {"assistant", "b"}};
  const Gguf full = file("full.gguf", true, true);
  EXPECT_EQ(ChatTemplate::from_gguf(full).apply(messages), "<three>a<four>b<four>");
  EXPECT_EQ(ChatTemplate::by_name("mistral-v3-tekken", full).apply(messages),
            "<three>[INST]a[/INST]b<four>");
  // SentencePiece's usual ids where the file gives none.
  EXPECT_EQ(ChatTemplate::from_gguf(file("ids.gguf", true, false)).apply(messages),
            "<one>a<two>b<two>");
  const Gguf bare = file("bare.gguf", false, true);
  const std::string error = error_of([&] { ChatTemplate::from_gguf(bare); });
  EXPECT_NE(error.find("bare.gguf"), std::string::npos);
  EXPECT_NE(error.find("tokenizer.chat_template"), std::string::npos);
  EXPECT_NE(error.find("chatml"), std::string::npos);
}

// Cut anywhere or changed in any byte, a template is recognised or refused, and never hangs.
TEST(ChatTemplate, DamagedTemplatesDoNoHarm) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::uint32_t state = 7;
  const auto random = [&](std::size_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
  };
  const std::vector<ChatMessage> messages{{"user", "q"}};
  for (const char* file :
       {"Qwen-Qwen3-0.6B", "Mistral-Small-3.2-24B-Instruct-2506",
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "meta-llama-Llama-3.2-3B-Instruct"}) {
    const std::string jinja =
        read(testing::reference_data("templates/" + std::string(file) + ".jinja"));
    for (int round = 0; round < 300; ++round) {
      std::string damaged = jinja;
      if (round % 2 == 0) damaged.resize(random(jinja.size()));
      for (int i = 0; i < round % 5 && !damaged.empty(); ++i) {
        damaged[random(damaged.size())] = static_cast<char>(random(256));
      }
      try {
        ChatTemplate::from_text(damaged, "<s>", "</s>").apply(messages);
      } catch (const Error&) {
        continue;
      }
    }
  }
}

}  // namespace
}  // namespace brink
