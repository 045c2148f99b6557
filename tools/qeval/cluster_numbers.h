// Clusters of items as the statistics take them.
#ifndef BRINK_TOOLS_QEVAL_CLUSTER_NUMBERS_H_
#define BRINK_TOOLS_QEVAL_CLUSTER_NUMBERS_H_

#include <cstdint>
#include <string>
#include <unordered_map>

namespace brink::tools {

/// Numbers from 0 on, in the order in which clusters come first.
class ClusterNumbers {
 public:
  /// An item without a cluster (an empty name) is one of its own.
  std::uint64_t of(const std::string& cluster) {
    if (cluster.empty()) return next_++;
    const auto [found, fresh] = numbers_.try_emplace(cluster, next_);
    if (fresh) ++next_;
    return found->second;
  }

  /// How many there were.
  std::uint64_t count() const { return next_; }

 private:
  std::unordered_map<std::string, std::uint64_t> numbers_;
  std::uint64_t next_ = 0;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_CLUSTER_NUMBERS_H_
