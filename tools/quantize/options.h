// What quantize was asked to do.
#ifndef BRINK_TOOLS_QUANTIZE_OPTIONS_H_
#define BRINK_TOOLS_QUANTIZE_OPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/support/importance_option.h"
#include "tools/support/mix_name.h"

namespace brink::tools {

struct QuantizeRequest {
  std::vector<std::string> arguments;  ///< IN OUT TYPE, or with `verify` A B
  bool pure = false;
  std::vector<std::string> tensor_types;
  std::string output_type;
  std::string embedding_type;
  std::string imatrix;
  Effort effort = Effort::kDefault;
  bool allow_nonfinite = false;
  bool allow_requantize = false;
  bool verify = false;
  bool dry_run = false;
  bool json = false;
  unsigned threads = 0;

  // --budget: the types are searched for.
  std::string budget;                ///< "5.2bpw", "3.5GiB" or a mix whose size it may have
  std::string text;                  ///< every other window is searched with, the rest evaluated
  std::string sensitivities;         ///< file to keep them in; empty: beside OUT
  std::string plot;                  ///< SVG of the types
  std::size_t context = 512;         ///< tokens a window
  bool parse_special = false;        ///< control tokens in the text are tokens
  bool measure_types = false;        ///< every type of every tensor instead of an estimate
  std::size_t search_windows = 0;    ///< at most; 0: by the size of the model
  std::size_t evaluate_windows = 0;  ///< at most; 0: eight times those of the search
};

/// quantize IN OUT TYPE.
void run_quantize(const QuantizeRequest& request);

/// quantize IN OUT --budget B --text TEXT.
void run_budget(const QuantizeRequest& request);

/// quantize --verify A B.
void run_verify(const QuantizeRequest& request);

/// Says what was made: sizes, bits per weight, types.
void print_plan(const QuantizeRequest& request, const std::vector<PlannedTensor>& plan);
/// Warnings about what quantize() found.
void warn(const QuantizeRequest& request, const QuantizeResult& result);

/// An SVG picture of the types: a row a layer, a column a kind of tensor, coloured by bits.
void write_type_plot(const std::string& path, const std::string& title,
                     const std::vector<PlannedTensor>& plan);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QUANTIZE_OPTIONS_H_
