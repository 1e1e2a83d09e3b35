// Source lines as JSON. Exports line_as_json.
#include "program_json.h"

namespace weir::tool {

nlohmann::json line_as_json(const ebpf::SourceLine& line) {
  nlohmann::json out = {{"file", line.file}, {"line", line.line}};
  if (line.column != 0) out["column"] = line.column;
  if (!line.text.empty()) out["text"] = line.text;
  return out;
}

}  // namespace weir::tool
