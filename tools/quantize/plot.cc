// A picture of the types of a model's tensors.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/quantize/options.h"
#include "tools/support/output_file.h"

namespace brink::tools {
namespace {

/// From red (2 bits and less) by yellow to green and blue (8 and more): readable without a legend,
/// and the type stands in every cell for those who tell no colours apart.
std::string color_of(double bits) {
  const double place = std::clamp((bits - 2) / 6.5, 0.0, 1.0);
  char text[48];
  std::snprintf(text, sizeof text, "hsl(%.0f 65%% 72%%)", 220 * place);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

}  // namespace

void write_type_plot(const std::string& path, const std::string& title,
                     const std::vector<PlannedTensor>& plan) {
  constexpr int kCell = 92, kRow = 24, kLeft = 90, kTop = 66;
  // Columns in the order of the file; tensors without a layer above the layers.
  std::vector<std::string> columns;
  struct Cell {
    long layer;
    std::size_t column;
    const PlannedTensor* planned;
  };
  std::vector<Cell> cells;
  std::map<long, int> row_of;  // of each layer that there is: names of a file may say any number
  for (const PlannedTensor& planned : plan) {
    if (!planned.quantizable) continue;
    std::string name(planned.source->name);
    long layer = -1;
    int used = 0;
    if (std::sscanf(name.c_str(), "blk.%ld.%n", &layer, &used) == 1 && used > 0)
      name = name.substr(static_cast<std::size_t>(used));
    else
      layer = -1;
    if (name.ends_with(".weight")) name.resize(name.size() - 7);
    const auto at = std::find(columns.begin(), columns.end(), name);
    const auto column = static_cast<std::size_t>(at - columns.begin());
    if (at == columns.end()) columns.push_back(name);
    cells.push_back({layer, column, &planned});
    if (layer >= 0) row_of[layer] = 0;
  }
  int rows = 1;
  for (auto& [layer, row] : row_of) row = rows++;
  row_of[-1] = 0;
  const int width = kLeft + kCell * static_cast<int>(columns.size()) + 20;
  const int height = kTop + kRow * rows + 20;
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + std::to_string(width) + " " +
      std::to_string(height) +
      "\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n<text x=\"12\" y=\"24\" font-size=\"15\">" +
      escaped(title) + "</text>\n";
  const auto label = [&](int x, int y, const std::string& text) {
    svg += "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\">" +
           escaped(text) + "</text>\n";
  };
  for (std::size_t c = 0; c < columns.size(); ++c)
    label(kLeft + kCell * static_cast<int>(c) + 4, kTop - 8, columns[c]);
  for (const auto& [layer, row] : row_of)
    if (layer >= 0) label(12, kTop + kRow * row + 16, "layer " + std::to_string(layer));
  for (const Cell& cell : cells) {
    const PlannedTensor& planned = *cell.planned;
    const double bits = 8.0 * static_cast<double>(planned.bytes()) /
                        static_cast<double>(planned.source->elements());
    const int x = kLeft + kCell * static_cast<int>(cell.column);
    const int y = kTop + kRow * row_of[cell.layer];
    svg += "<rect x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\" width=\"" +
           std::to_string(kCell - 2) + "\" height=\"" + std::to_string(kRow - 2) + "\" rx=\"3\" " +
           "fill=\"" + color_of(bits) + "\"/>\n";
    char text[48];
    std::snprintf(text, sizeof text, "%s %.2f", size_of(planned.type).name, bits);
    label(x + 6, y + 15, text);
  }
  svg += "</svg>\n";
  OutputFile file(path);
  file.write(std::as_bytes(std::span(svg)));
  file.close();
}

}  // namespace brink::tools
