// Implementation of core/progress.h.
#ifndef BRINK_CORE_PROGRESS_IMPL_H_
#define BRINK_CORE_PROGRESS_IMPL_H_

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "brink/core/progress.h"

namespace brink {

namespace progress_detail {

/// "12", "1.5 MB"; decimal prefixes, as storage and bandwidth are counted.
std::string amount(double value, ProgressUnit unit) {
  char text[40];
  if (unit == ProgressUnit::kItems) {
    std::snprintf(text, sizeof text, value < 10 && value != std::floor(value) ? "%.1f" : "%.0f",
                  value);
    return text;
  }
  static constexpr const char* kPrefixes[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t prefix = 0;
  while (value >= 999.95 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  std::snprintf(text, sizeof text, prefix == 0 ? "%.0f %s" : "%.1f %s", value, kPrefixes[prefix]);
  return text;
}

/// "0:07", "12:34", "3:00:00".
std::string duration(double seconds) {
  const std::uint64_t s = static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 3.6e8) + 0.5);
  char text[40];
  const auto part = [](std::uint64_t v) { return static_cast<unsigned>(v); };
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%u:%02u:%02u", part(s / 3600), part(s / 60 % 60),
                  part(s % 60));
  else
    std::snprintf(text, sizeof text, "%u:%02u", part(s / 60), part(s % 60));
  return text;
}

bool is_terminal(std::FILE* stream) {
  const char* kind = std::getenv("TERM");
  return ::isatty(::fileno(stream)) == 1 && !(kind && std::strcmp(kind, "dumb") == 0);
}

std::size_t terminal_width(std::FILE* stream) {
  struct winsize size {};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  return 80;
}

}  // namespace progress_detail

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          ProgressUnit unit, double seconds, bool bar, std::size_t width) {
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double fraction =
      total > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  std::string head = label;
  std::string tail;
  // Rounded down: 100 % means that nothing is left.
  if (total > 0) tail += ' ' + std::to_string(static_cast<int>(fraction * 100)) + '%';
  tail += ' ' + progress_detail::amount(static_cast<double>(done), unit);
  if (total > 0) tail += '/' + progress_detail::amount(static_cast<double>(total), unit);
  if (rate > 0) tail += ' ' + progress_detail::amount(rate, unit) + "/s";
  if (done < total && rate > 0)
    tail += ' ' + progress_detail::duration(static_cast<double>(total - done) / rate) + " left";
  else
    tail += " in " + progress_detail::duration(seconds);

  constexpr std::size_t kMinBar = 10, kMaxBar = 40;
  std::string middle;
  if (bar && total > 0 && head.size() + tail.size() + kMinBar + 3 <= width) {
    const std::size_t length = std::min(kMaxBar, width - head.size() - tail.size() - 3);
    const std::size_t filled = static_cast<std::size_t>(fraction * static_cast<double>(length));
    middle = " [" + std::string(filled, '#') + std::string(length - filled, ' ') + "]";
  }
  return (head + middle + tail).substr(0, width);
}

Progress::Progress(std::string label, std::uint64_t total, ProgressOptions options)
    : label_(std::move(label)),
      total_(total),
      options_(options),
      start_(std::chrono::steady_clock::now()),
      terminal_(options.terminal.value_or(!options.silent &&
                                          progress_detail::is_terminal(options.stream))),
      interval_s_(options.interval_s.value_or(terminal_ ? 0.1 : 5.0)),
      next_print_s_(std::max(interval_s_, options.delay_s)) {}

Progress::~Progress() {
  if (line_open_) {
    std::fputc('\n', options_.stream);
    std::fflush(options_.stream);
  }
}

void Progress::add(std::uint64_t units) {
  done_.fetch_add(units, std::memory_order_relaxed);
  maybe_print();
}

void Progress::set(std::uint64_t done) {
  done_.store(done, std::memory_order_relaxed);
  maybe_print();
}

void Progress::maybe_print() {
  if (options_.silent) return;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  if (elapsed.count() < next_print_s_.load(std::memory_order_relaxed)) return;
  const std::unique_lock<std::mutex> lock(printing_, std::try_to_lock);
  if (!lock || finished_ || elapsed.count() < next_print_s_.load(std::memory_order_relaxed)) return;
  next_print_s_.store(elapsed.count() + interval_s_, std::memory_order_relaxed);
  print(elapsed.count(), false);
}

void Progress::finish() {
  if (options_.silent) return;
  const std::lock_guard<std::mutex> lock(printing_);
  if (finished_) return;
  finished_ = true;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  if (elapsed.count() < options_.delay_s) return;
  print(elapsed.count(), true);
}

void Progress::print(double seconds, bool last) {
  // One column is left free: some terminals wrap when the last one is written.
  const std::size_t width =
      terminal_ ? progress_detail::terminal_width(options_.stream) - 1 : std::size_t{200};
  std::string line =
      progress_line(label_, done(), total_, options_.unit, seconds, terminal_, width);
  if (terminal_) line = '\r' + line + "\x1b[K";
  line_open_ = terminal_ && !last;
  if (!line_open_) line += '\n';
  std::fwrite(line.data(), 1, line.size(), options_.stream);
  std::fflush(options_.stream);
}

}  // namespace brink

#endif  // BRINK_CORE_PROGRESS_IMPL_H_
