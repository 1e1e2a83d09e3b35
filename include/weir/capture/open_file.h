// A capture over a file that is open already: where what opened it is gone, or it can be opened only once.
#pragma once

#include <memory>
#include <string>

#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/capture/source.h>

namespace weir::capture {

// Reads from the file's present place on. `name` is for messages; "-" is standard input.
Result<std::unique_ptr<Source>> open(FileDescriptor file, const std::string& name);

}  // namespace weir::capture
