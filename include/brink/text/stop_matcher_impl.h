#ifndef BRINK_TEXT_STOP_MATCHER_IMPL_H_
#define BRINK_TEXT_STOP_MATCHER_IMPL_H_

#include <algorithm>
#include <deque>

#include "brink/core/error.h"
#include "brink/text/stop_matcher.h"

namespace brink {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) : nodes_(1) {
  for (const std::string& stop : stops) {
    if (stop.empty()) throw Error("a stop string is empty");
    std::uint32_t at = 0;
    for (const char byte : stop) {
      const auto fresh = static_cast<std::uint32_t>(nodes_.size());
      const auto [edge, added] = nodes_[at].next.try_emplace(byte, fresh);
      const std::size_t depth = nodes_[at].depth + 1;
      at = edge->second;
      if (added) {
        nodes_.emplace_back();
        nodes_.back().depth = depth;
      }
    }
    nodes_[at].match = stop.size();
  }
  // Breadth first: the fallback of a node is less deep than the node, so it is complete by then.
  std::deque<std::uint32_t> queue{0};
  while (!queue.empty()) {
    const std::uint32_t at = queue.front();
    queue.pop_front();
    for (const auto& [byte, child] : nodes_[at].next) {
      const std::uint32_t fallback = at == 0 ? 0 : step(nodes_[at].fallback, byte);
      nodes_[child].fallback = fallback;
      nodes_[child].match = std::max(nodes_[child].match, nodes_[fallback].match);
      queue.push_back(child);
    }
  }
}

std::uint32_t StopMatcher::step(std::uint32_t state, char byte) const {
  for (;;) {
    const auto edge = nodes_[state].next.find(byte);
    if (edge != nodes_[state].next.end()) return edge->second;
    if (state == 0) return 0;
    state = nodes_[state].fallback;
  }
}

std::string StopMatcher::push(std::string_view text, bool& stopped) {
  std::string out;
  for (const char byte : text) {
    if (stopped_) break;
    state_ = step(state_, byte);
    held_ += byte;
    const Node& node = nodes_[state_];
    stopped_ = node.match != 0;
    const std::size_t certain = held_.size() - (stopped_ ? node.match : node.depth);
    out.append(held_, 0, certain);
    held_.erase(0, certain);
  }
  stopped = stopped_;
  return out;
}

std::string StopMatcher::finish() {
  std::string rest;
  if (!stopped_) rest.swap(held_);
  held_.clear();
  state_ = 0;
  return rest;
}

}  // namespace brink

#endif  // BRINK_TEXT_STOP_MATCHER_IMPL_H_
