// The three forms of a report. Each returns its whole text.
#ifndef BRINK_TOOLS_QBENCH_REPORT_H_
#define BRINK_TOOLS_QBENCH_REPORT_H_

#include <span>
#include <string>

#include "tools/qbench/measure.h"

namespace brink::tools {

std::string table_report(std::span<const Result> results);
std::string json_report(std::span<const Result> results);
std::string csv_report(std::span<const Result> results);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_REPORT_H_
