// What a measurement of a model is, for the store.
#ifndef BRINK_TOOLS_QEVAL_RUN_CONFIG_H_
#define BRINK_TOOLS_QEVAL_RUN_CONFIG_H_

#include <string>

#include "brink/model/model.h"
#include "brink/model/session.h"
#include "tools/qeval/store.h"
#include "tools/support/json.h"

namespace brink::tools {

/// The fields that say what model runs and how; the caller fills in `data`, `data_hash`,
/// `base_hash` and `options`. `model_hash`: fingerprint of the model, once for all its runs, as
/// it takes reading every tensor.
RunConfig describe(const std::string& kind, const Model& model, const SessionOptions& session,
                   const std::string& model_hash);

/// An object that the store keeps as text, "options" of a run for instance. Throws Error, naming
/// store, run and `what`, where it is damaged.
Json stored_object(const Store& store, std::int64_t run, const std::string& what,
                   const std::string& text);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_RUN_CONFIG_H_
