// The report as flat rows, one for each setting and task: for --json, --csv and other programs.
#ifndef BRINK_TOOLS_QEVAL_REPORT_ROWS_H_
#define BRINK_TOOLS_QEVAL_REPORT_ROWS_H_

#include <string>

#include "tools/qeval/analysis.h"
#include "tools/support/json.h"

namespace brink::tools {

/// Shares, not percent; the interval of X is under X.ci as [low, high]. The figures of a text stand
/// in rows of their own, with "text" instead of "task". The figure of a task is under the name of
/// its measure; "versus.TASK" is the difference of its difference and that of another task.
Json report_rows(const Analysis& analysis);

/// RFC 4180, with a header line of all keys that any row has; X.ci becomes X.low and X.high.
std::string to_csv(const Json& rows);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_REPORT_ROWS_H_
