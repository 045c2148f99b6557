// qrun --tokenize and --tokens: text to ids, ids to logits.
#include <cstdio>
#include <string>
#include <vector>

#include "tools/qrun/options.h"
#include "tools/support/json.h"
#include "tools/support/npy.h"
#include "tools/support/text_file.h"

namespace brink::tools {

int tokenize(const RunOptions& options) {
  // Only the vocabulary is needed, so files without weights will do.
  std::vector<std::string> warnings;
  const Tokenizer tokenizer = Tokenizer::load(Gguf::open(options.model), &warnings);
  for (const std::string& warning : warnings)
    std::fprintf(stderr, "qrun: warning: %s\n", warning.c_str());
  const EncodeOptions encode{!options.plain, !options.plain};
  const std::vector<std::int32_t> ids = tokenizer.encode(read_text(options.tokenize), encode);
  if (!options.npy.empty()) {
    const std::uint64_t shape[] = {ids.size()};
    NpyWriter writer = NpyWriter::create<std::int32_t>(options.npy, shape);
    writer.append(std::span<const std::int32_t>(ids));
    writer.close();
  } else if (options.json) {
    std::fputs(to_text(Json(ids)).c_str(), stdout);
  } else {
    std::string line;
    for (const std::int32_t id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
    std::printf("%s\n", line.c_str());
  }
  return 0;
}

int write_logits(const RunOptions& options) {
  const std::vector<std::int32_t> ids = read_npy_ids(options.tokens);
  if (ids.empty()) throw Error("holds no tokens", {.file = options.tokens});
  const Model model = Model::open(options.model);
  Session session(model, session_options(options, ids.size()));
  const std::uint64_t shape[] = {ids.size(), model.config().vocabulary};
  NpyWriter writer = NpyWriter::create<float>(options.logits, shape);
  // Pieces of nearly equal size bound the memory (logits of a large vocabulary are half a megabyte
  // a token) without leaving a small rest, which would take the kernels for few tokens.
  constexpr std::size_t kPiece = 128;
  const std::size_t pieces = (ids.size() + kPiece - 1) / kPiece;
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t begin = ids.size() * i / pieces, end = ids.size() * (i + 1) / pieces;
    writer.append(
        session.feed(std::span<const std::int32_t>(ids).subspan(begin, end - begin), Logits::kAll));
  }
  writer.close();
  return 0;
}

}  // namespace brink::tools
