// How the rows of a matrix-vector product are shared out between threads.
#ifndef BRINK_CPU_ROW_SPLIT_H_
#define BRINK_CPU_ROW_SPLIT_H_

#include <cstddef>

namespace brink {

/// Cuts rows into work items of decreasing size. Reading weights runs at the memory's pace only
/// within an item, since the first lines of each are not prefetched, so items start large; they end
/// small, so that a slow thread does not hold up the others. Every round of one item per thread
/// takes half of the rows that are left, down to kLeastBytes an item.
class RowSplit {
 public:
  static constexpr std::size_t kLeastBytes = 32 * 1024;

  RowSplit() = default;
  RowSplit(std::size_t rows, std::size_t bytes_per_row, std::size_t threads)
      : rows_(rows), threads_(threads) {
    while ((rows >> (rounds_ + 1)) * bytes_per_row >= kLeastBytes * threads) ++rounds_;
  }

  std::size_t items() const { return (rounds_ + 1) * threads_; }

  /// First row of item `item`; item items() starts at the end of the rows. Items may be empty.
  std::size_t begin(std::size_t item) const {
    const std::size_t round = item / threads_;
    if (round > rounds_) return rows_;
    const std::size_t left = rows_ >> round;
    const std::size_t taken = round < rounds_ ? left - (rows_ >> (round + 1)) : left;
    return rows_ - left + item % threads_ * taken / threads_;
  }

 private:
  std::size_t rows_ = 0;
  std::size_t threads_ = 1;
  std::size_t rounds_ = 0;  // rounds of halves; one more takes the rest
};

}  // namespace brink

#endif  // BRINK_CPU_ROW_SPLIT_H_
