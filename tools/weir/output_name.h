// What the name of a capture that is written promises.
#pragma once

#include <filesystem>
#include <string>

#include <weir/capture/source.h>

#include "terminal.h"

namespace weir::tool {

// Warns of a name whose ending says something else than what is written: readers that go by names fail. A format that
// was asked for may have any name.
inline void warn_of_name(const std::string& path, capture::Format format, bool asked_for) {
  const std::string ending = std::filesystem::path(path).extension().string();
  Diagnostic warning{.severity = Severity::kWarning};
  if (ending == ".gz" || ending == ".zst" || ending == ".lz4" || ending == ".xz" || ending == ".bz2") {
    warning.message = "'" + path + "' is written without compression";
    warning.hint = "write to '-' and compress what comes: weir ... -w - | gzip";
  } else if (!asked_for && ending == (format == capture::Format::kPcap ? ".pcapng" : ".pcap")) {
    const std::string name(capture::name_of(format));
    warning.message = "'" + path + "' is written as " + name;
    warning.hint = "--format " + ending.substr(1) + " writes the other format, where that can hold the packets";
  }
  if (!warning.message.empty()) report(warning);
}

}  // namespace weir::tool
