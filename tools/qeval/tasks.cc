// qeval tasks: models answer the items of tasks, and are graded.
#include "tools/qeval/tasks.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "brink/core/progress.h"
#include "brink/eval/generation.h"
#include "brink/gguf/fingerprint.h"
#include "tools/qeval/report.h"
#include "tools/qeval/run_config.h"
#include "tools/qeval/task_prompts.h"
#include "tools/support/cli.h"
#include "tools/support/interrupt.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

// A task as the command line asks for it.
struct Task {
  std::string path;
  Grader grader;
  TaskFile file;
  std::vector<std::size_t> chosen;  // items, ascending
};

// Of the items that can be put the first ones, or some by chance: the same ones on every machine.
std::vector<std::size_t> chosen_items(const TaskFile& file, const TaskPrompts& prompts,
                                      const TasksOptions& options) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < file.items.size(); ++i)
    if (prompts.takes(file.items[i])) out.push_back(i);
  const std::size_t count = out.size();
  if (options.limit == 0 || options.limit >= count) return out;
  if (options.random) {
    std::mt19937_64 generator(options.seed);
    for (std::size_t i = 0; i < options.limit; ++i)
      std::swap(out[i], out[i + generator() % (count - i)]);
  }
  out.resize(options.limit);
  std::ranges::sort(out);
  return out;
}

// Everything a model is asked, of the chosen items.
std::vector<ItemRequests> requests_of(const Task& task, const TaskPrompts& prompts,
                                      const Sampling& sampling) {
  std::vector<ItemRequests> out;
  for (const std::size_t at : task.chosen) {
    try {
      out.push_back(prompts.requests(task.file.items[at], sampling));
    } catch (const Error& error) {
      throw Error(error.what(), {.file = task.path});
    }
  }
  return out;
}

// Of all token ids: the template, the tokenizer and the items shown are in them.
std::string fingerprint_of(const std::vector<ItemRequests>& all) {
  Fingerprint sum;
  const auto add = [&](const std::vector<std::int32_t>& ids) {
    sum.add(std::to_string(ids.size()) + ":");
    sum.add(std::as_bytes(std::span(ids)));
  };
  for (const ItemRequests& item : all)
    for (const GenerationRequest& request : item.requests) {
      add(request.prompt);
      for (const auto& answer : request.answers) add(answer);
    }
  return sum.hex();
}

// What is asked of an item, as it comes back.
struct Answers {
  std::vector<GenerationResult> results;  // by request
  std::size_t waiting = 0;
};

bool was_cut(const GenerationResult& result) {
  return result.finish == Finish::kMaxTokens || result.finish == Finish::kContext;
}

std::optional<double> log_probability(const Answers& answers, const ItemRequests::Place& place) {
  const GenerationResult& result = answers.results[place.request];
  if (result.answers.empty()) return std::nullopt;  // the context was too short
  return result.answers[place.answer].log_probability;
}

// Whether nothing can be answered, because the prompt, or with it a choice, is too long.
bool too_long(const ItemRequests& item, std::size_t context) {
  return std::ranges::any_of(item.requests, [&](const GenerationRequest& request) {
    if (request.max_tokens > 0) return request.prompt.size() >= context;
    return !item.choices.empty() && context_of(request) > context;
  });
}

Item graded_choice(const TaskItem& task_item, const TaskPrompts& prompts, const ItemRequests& asked,
                   const Answers& answers) {
  Item item;
  TaskItem with_right = task_item;
  with_right.right = prompts.right_choice(task_item);
  std::vector<ChoiceScore> scores;
  for (const ItemRequests::Place& place : asked.choices) {
    const auto score = log_probability(answers, place);
    if (!score) {
      item.truncated = true;
      item.parsed = false;
      return item;
    }
    scores.push_back({*score, place.bytes});
  }
  const Grade grade = TaskGrader::choice(with_right, scores);
  item.correct = grade.correct;
  item.score = grade.score;
  item.details = to_text(grade.details);
  item.log_probability = scores[with_right.right].log_probability;
  return item;
}

// One model on one task. Returns the row of the report.
class TaskMeasurement {
 public:
  TaskMeasurement(const Model& model, const std::string& hash, const SessionOptions& session,
                  const std::string& dial_key, const Task& task, const PromptFile& prompt,
                  const TasksOptions& options, const PythonSandbox* sandbox, Store& store)
      : model_(model),
        hash_(hash),
        session_(session),
        dial_key_(dial_key),
        task_(task),
        options_(options),
        sandbox_(sandbox),
        store_(store),
        grader_(task.grader, task.file),
        prompts_(task.file, task.grader, prompt) {}

  Json run();

 private:
  std::size_t context_for(const std::vector<ItemRequests>& all) const;
  std::string key_options(const std::vector<ItemRequests>& all, std::size_t context) const;
  std::vector<bool> stored(std::int64_t run) const;
  Json row_of_run(std::int64_t run) const;
  Item graded(std::size_t chosen, const ItemRequests& asked, const Answers& answers) const;

  const Model& model_;
  const std::string& hash_;
  const SessionOptions& session_;
  const std::string dial_key_;
  const Task& task_;
  const TasksOptions& options_;
  const PythonSandbox* sandbox_;
  Store& store_;
  TaskGrader grader_;
  TaskPrompts prompts_;
};

std::size_t TaskMeasurement::context_for(const std::vector<ItemRequests>& all) const {
  if (options_.context > 0) return options_.context;
  std::size_t needed = 1;
  for (const ItemRequests& item : all)
    for (const GenerationRequest& request : item.requests)
      needed = std::max(needed, context_of(request));
  const std::size_t trained = model_.config().context_length;
  return trained > 0 ? std::min(needed, trained) : needed;
}

std::string TaskMeasurement::key_options(const std::vector<ItemRequests>& all,
                                         std::size_t context) const {
  Json json = prompts_.options();
  json["grader"] = name_of(task_.grader);
  json["prompts"] = fingerprint_of(all);
  json["context"] = context;
  json["items"] = task_.chosen.size();
  if (options_.limit > 0 && options_.limit < task_.file.items.size())
    json["subset"] = options_.random ? "random, seed " + std::to_string(options_.seed) : "first";
  if (options_.samples > 0) {
    json["samples"] = options_.samples;
    json["temperature"] = options_.temperature;
    json["seed"] = options_.seed;
  }
  if (!dial_key_.empty()) json["scales"] = dial_key_;
  if (task_.grader == Grader::kCode) json["code_seconds"] = options_.code_seconds;
  return dumped_by_key(json);
}

Item TaskMeasurement::graded(std::size_t chosen, const ItemRequests& asked,
                             const Answers& answers) const {
  const TaskItem& task_item = task_.file.items[task_.chosen[chosen]];
  Item item;
  if (task_.grader == Grader::kChoice) {
    item = graded_choice(task_item, prompts_, asked, answers);
  } else {
    std::vector<GradedSample> samples;
    const std::size_t count = std::max<std::size_t>(1, options_.samples);
    for (std::size_t s = 0; s < count; ++s) {
      const GenerationResult& result = answers.results[s];
      samples.push_back(
          {result.text, was_cut(result),
           grade_output(grader_, task_.grader, task_.file.form, task_item, result.text, sandbox_)});
    }
    set_grades(item, samples);
    if (asked.right) item.log_probability = log_probability(answers, *asked.right);
  }
  item.index = task_item.index;
  item.id = task_item.id;
  item.cluster = task_item.cluster;
  return item;
}

// By item of the file, whether the store has it.
std::vector<bool> TaskMeasurement::stored(std::int64_t run) const {
  std::vector<bool> done(task_.file.items.size(), false);
  for (const Item& item : store_.items(run)) {
    const bool asked = item.index >= 0 && std::ranges::binary_search(
                                              task_.chosen, static_cast<std::size_t>(item.index));
    if (!asked)
      throw Error("is damaged: run " + std::to_string(run) + " has an item " +
                      std::to_string(item.index) + ", which was not asked",
                  {.file = store_.path()});
    done[static_cast<std::size_t>(item.index)] = true;
  }
  return done;
}

// What a finished run was found to have.
Json TaskMeasurement::row_of_run(std::int64_t run) const {
  Json row = stored_object(store_, run, "summary", store_.run(run).summary);
  const auto has_text = [&](const char* key) { return row.contains(key) && row[key].is_string(); };
  const bool whole =
      row.contains("items") && row["items"].is_number_unsigned() &&
      std::ranges::all_of(std::array{"weights", "activations", "kv", "grader"}, has_text);
  if (!whole)
    throw Error("is damaged: the summary of run " + std::to_string(run) + " cannot be read",
                {.file = store_.path()});
  return row;
}

Json TaskMeasurement::run() {
  std::string warning;
  prompts_.use(model_, &warning);
  if (!warning.empty())
    std::fprintf(stderr, "qeval: warning: %s: no chat is used\n", warning.c_str());
  const Sampling sampling{options_.samples, options_.temperature, options_.seed};
  const std::vector<ItemRequests> all = requests_of(task_, prompts_, sampling);

  GenerationOptions generation;
  generation.session = session_;
  generation.session.context = context_for(all);
  generation.stop = prompts_.stop();
  const auto lost = std::ranges::count_if(
      all, [&](const ItemRequests& item) { return too_long(item, generation.session.context); });
  if (lost > 0)
    std::fprintf(
        stderr,
        "qeval: warning: %s: %td of %zu items do not fit into a context of %zu tokens: they "
        "count as cut off and wrong\n",
        printable(task_.path).c_str(), lost, all.size(), generation.session.context);
  std::size_t count = 0;
  for (const ItemRequests& item : all) count += item.requests.size();
  generation.sequences = std::min(options_.batch, count);
  BatchGenerator generator(model_, generation);

  RunConfig config = describe("tasks", model_, generator.session().options(), hash_);
  config.data = std::filesystem::absolute(task_.path).string();
  config.data_hash = task_.file.hash;
  config.options = key_options(all, generation.session.context);
  const std::int64_t run = store_.open(config);
  if (!store_.finished(run)) {
    const std::vector<bool> done = stored(run);
    const auto found = static_cast<std::size_t>(std::ranges::count(done, true));
    if (found > 0) std::fprintf(stderr, "qeval: %zu items from an earlier run\n", found);
    // Requests of all items that are left, and whose they are.
    std::vector<GenerationRequest> requests;
    std::vector<std::pair<std::size_t, std::size_t>> places;  // place in `all`, request
    std::vector<Answers> answers(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[task_.chosen[i]]) continue;
      answers[i].results.resize(all[i].requests.size());
      answers[i].waiting = all[i].requests.size();
      for (std::size_t r = 0; r < all[i].requests.size(); ++r) {
        requests.push_back(all[i].requests[r]);
        places.emplace_back(i, r);
      }
    }
    Progress progress(file_name(task_.path) + " " + label_of(config.model, session_), all.size(),
                      {.delay_s = 0.5});
    progress.set(found);
    const auto begin = std::chrono::steady_clock::now();
    generator.run(requests, [&](std::size_t index, GenerationResult&& result) {
      const auto [i, r] = places[index];
      answers[i].results[r] = std::move(result);
      if (--answers[i].waiting > 0) return;
      store_.add(run, graded(i, all[i], answers[i]));
      answers[i] = {};
      progress.add();
    });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    progress.finish();
    Json row = row_of(model_, session_, generator.session().backend_name());
    row["task"] = config.data;
    row["grader"] = name_of(task_.grader);
    naming(store_.path(), [&] { row.update(summarize(task_.grader, store_.items(run))); });
    const GenerationWork& work = generator.work();
    row["tokens_per_second"] = nullptr;
    if (!requests.empty())
      row["tokens_per_second"] =
          static_cast<double>(work.prompt_tokens + work.answer_tokens + work.generated_tokens) /
          seconds;
    store_.finish(run, to_text(row));
  }
  Json row = row_of_run(run);
  row["model"] = config.model;  // the same may lie elsewhere now
  row["task"] = config.data;
  row["options"] = parse_json(config.options);
  return row;
}

std::vector<Task> read_tasks(const TasksOptions& options) {
  if (options.graders.size() != 1 && options.graders.size() != options.tasks.size())
    throw UsageError("--grader must be given once, or once for each --task");
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < options.tasks.size(); ++i) {
    const Grader grader =
        grader_named(options.graders.size() == 1 ? options.graders[0] : options.graders[i]);
    if (grader == Grader::kCode && !options.allow_code)
      throw UsageError("--grader code runs programs that the model writes: it needs --allow-code");
    if (grader == Grader::kChoice && options.samples > 0)
      throw UsageError("--grader choice compares probabilities: nothing can be sampled");
    tasks.push_back({options.tasks[i], grader, read_task_file(options.tasks[i]), {}});
  }
  return tasks;
}

}  // namespace

int tasks(const TasksOptions& options) {
  Dial dial(options.dial);
  std::vector<Task> all = read_tasks(options);
  // What cannot be put or graded should be known before minutes are spent on another task.
  const PromptFile prompt =
      options.prompt.empty() ? PromptFile() : read_prompt_file(options.prompt);
  std::unique_ptr<PythonSandbox> sandbox;
  for (Task& task : all) {
    naming(task.path, [&] {
      const TaskPrompts prompts(task.file, task.grader, prompt);
      TaskGrader(task.grader, task.file);
      task.chosen = chosen_items(task.file, prompts, options);
      const auto left_out = std::ranges::count_if(
          task.file.items, [&](const TaskItem& item) { return !prompts.takes(item); });
      if (left_out > 0)
        std::fprintf(stderr, "qeval: warning: %s: %td of %zu items offer no choices: left out\n",
                     printable(task.path).c_str(), left_out, task.file.items.size());
    });
    if (task.grader == Grader::kCode && sandbox == nullptr)
      sandbox = std::make_unique<PythonSandbox>(SandboxOptions{.seconds = options.code_seconds});
  }
  Store store(options.store);
  say_on_interrupt("qeval: interrupted; the same command goes on after the last item");
  Json report = Json::array();
  TaskTable table;
  const auto measure = [&](const std::string& path) {
    const Model model = Model::open(path);
    warn_of_tokenizer(model);
    const std::string hash = fingerprint(model.gguf());
    for (const DialSetting& setting : dial.settings()) {
      SessionOptions session;
      options.engine.apply(session);
      session = dial.apply(setting, model, session);
      for (const Task& task : all) {
        TaskMeasurement measurement(model, hash, session, dial.key(setting), task, prompt, options,
                                    sandbox.get(), store);
        Json row = naming(path, [&] { return measurement.run(); });
        table.add(row);
        report.push_back(std::move(row));
      }
    }
  };
  measure_models(options.models, measure, report, table, options.json);
  return 0;
}

CLI::App* add_tasks(CLI::App& app, TasksOptions& options) {
  CLI::App* command = app.add_subcommand(
      "tasks",
      "Answers to the items of tasks, graded as the field does, and stored: an interrupted\n"
      "run goes on where it was");
  add_models(*command, options.models);
  command
      ->add_option(
          "--task", options.tasks,
          "Items as published (JSON lines, JSON or CSV): GSM8K, TriviaQA, HellaSwag, ARC,\n"
          "Winogrande, MMLU, BBH, GPQA, HumanEval, MBPP, summaries, or question and\n"
          "answer; may be repeated")
      ->required()
      ->option_text("FILE")
      ->allow_extra_args(false);
  add_graders(*command, options.graders)->required();
  add_prompt_and_limit(*command, options.prompt, options.limit);
  add_results(*command, options.store);
  command->add_flag("--random", options.random, "With --limit: N items chosen by --seed");
  command
      ->add_option("--sample", options.samples,
                   "Draw N answers to each item, which are averaged (default: one, greedy)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000}))
      ->option_text("N");
  command->add_option("--temperature", options.temperature, "Of samples (default: 0.8)")
      ->check(number_from(0.01, 100))
      ->option_text("T");
  command->add_option("--seed", options.seed, "Of samples and of --random (default: 42)")
      ->option_text("S");
  command
      ->add_option("-c,--context", options.context,
                   "Positions for prompt and answer (default: what the items need, at most what\n"
                   "the model was trained for)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24))
      ->option_text("N");
  command
      ->add_option("-b,--batch", options.batch,
                   "Items answered at once; decides the speed, and no result (default: 16)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1024}))
      ->option_text("N");
  add_code_options(*command, options.allow_code, options.code_seconds);
  command->add_flag("--json", options.json, "Print JSON");
  add_dial_options(*command, options.dial);
  command->add_flag("--parse-special", options.dial.parse_special,
                    "With --calibrate: control tokens in its text are tokens");
  add_device_options(*command, options.engine);
  return command;
}

}  // namespace brink::tools
