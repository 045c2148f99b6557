// Progress of a long task on stderr: a bar on a terminal, a line every few seconds elsewhere.
#ifndef BRINK_CORE_PROGRESS_H_
#define BRINK_CORE_PROGRESS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>

namespace brink {

enum class ProgressUnit { kItems, kBytes };

struct ProgressOptions {
  ProgressUnit unit = ProgressUnit::kItems;
  bool silent = false;                 ///< prints nothing at all
  std::FILE* stream = stderr;          ///< must outlive the reporter
  std::optional<bool> terminal{};      ///< empty: ask the stream
  std::optional<double> interval_s{};  ///< empty: 0.1 s on a terminal, 5 s elsewhere
  double delay_s = 0;                  ///< what is done before says nothing at all
};

/// Any thread may report; only one prints at a time and none waits for another. Ends its line when
/// destroyed, so that an error printed after that stands on its own.
class Progress {
 public:
  /// `total` in units; 0 where it is not known, which leaves out the bar and the time to go.
  Progress(std::string label, std::uint64_t total, ProgressOptions options = {});
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void add(std::uint64_t units = 1);
  void set(std::uint64_t done);
  std::uint64_t done() const { return done_.load(std::memory_order_relaxed); }

  /// Prints the final state once: what was done, in what time, at what rate.
  void finish();

 private:
  void maybe_print();
  void print(double seconds, bool last);

  const std::string label_;
  const std::uint64_t total_;
  const ProgressOptions options_;
  const std::chrono::steady_clock::time_point start_;
  bool terminal_ = false;
  double interval_s_ = 0;
  std::atomic<std::uint64_t> done_{0};
  std::atomic<double> next_print_s_{0};
  std::mutex printing_;
  bool line_open_ = false;  // guarded by printing_
  bool finished_ = false;   // guarded by printing_
};

/// One line without its end, at most `width` characters: "label [####    ] 50% 1.0/2.0 GB 300 MB/s
/// 0:03 left". `bar` is left out where `total` is 0. What Progress prints; pure.
std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          ProgressUnit unit, double seconds, bool bar, std::size_t width);

}  // namespace brink

#endif  // BRINK_CORE_PROGRESS_H_
