#include "tools/qrun/stream.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <utility>

#include "tools/support/table.h"

namespace brink::tools {
namespace {

volatile std::sig_atomic_t interrupted = 0;

extern "C" void note_interrupt(int) { interrupted = 1; }

const char* name_of_finish(Finish finish) {
  switch (finish) {
    case Finish::kEndOfText:
      return "end_of_text";
    case Finish::kStop:
      return "stop";
    case Finish::kMaxTokens:
      return "max_tokens";
    case Finish::kContext:
      return "context";
    case Finish::kNone:
      break;
  }
  return "interrupted";
}

double rate(std::size_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

}  // namespace

Interrupt::Interrupt() {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  // The second one finds the default action again: a prompt of minutes can still be ended.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

Interrupt::~Interrupt() { std::signal(SIGINT, SIG_DFL); }

bool Interrupt::seen() { return interrupted != 0; }

double Generated::prompt_rate() const { return rate(prompt_tokens, prompt_seconds); }
double Generated::generation_rate() const { return rate(timed_tokens, generation_seconds); }

Json Generated::json() const {
  return {{"text", text},
          {"finish", name_of_finish(finish)},
          {"prompt_tokens", prompt_tokens},
          {"generated_tokens", tokens},
          {"prompt_tokens_per_second", prompt_rate()},
          {"generation_tokens_per_second", generation_rate()}};
}

std::string Generated::summary() const {
  return "prompt: " + std::to_string(prompt_tokens) + " tokens, " + fixed(prompt_rate(), 1) +
         " tokens/s; generation: " + std::to_string(tokens) + " tokens, " +
         fixed(generation_rate(), 1) + " tokens/s";
}

Generated run_generation(Generation generation, bool print) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  const Interrupt interrupt;
  Generated result;
  const Clock::time_point start = Clock::now();
  auto piece = generation.begin();
  const Clock::time_point first = Clock::now();
  const std::size_t first_tokens = generation.tokens();
  for (; piece != generation.end(); ++piece) {
    result.text += *piece;
    if (print) {
      std::fwrite((*piece).data(), 1, (*piece).size(), stdout);
      std::fflush(stdout);
    }
    if (Interrupt::seen()) {
      result.interrupted = true;
      break;
    }
  }
  result.prompt_seconds = seconds(start, first);
  result.generation_seconds = seconds(first, Clock::now());
  result.prompt_tokens = generation.prompt_tokens();
  result.tokens = generation.tokens();
  result.timed_tokens = result.tokens - first_tokens;
  result.finish = generation.finish();
  return result;
}

}  // namespace brink::tools
