// What the program shows: messages on standard error, results on standard output, the exit status.
//
// Exit status: 0 yes, 1 no match, 2 usage, 3 bad input (also files that cannot be read or written).
#pragma once

#include <string>
#include <string_view>

#include <weir/base/error.h>

namespace weir::tool {

enum ExitStatus : int { kYes = 0, kNo = 1, kUsage = 2, kBadInput = 3 };

// Whether standard error is a terminal that wants colour: NO_COLOR is honoured (https://no-color.org).
bool color_on_stderr();
bool color_on_stdout();
bool stderr_is_terminal();

// Prints an error or a warning, with a caret into `text` where its place is a span; returns the exit status for it.
int report(const Diagnostic& diagnostic, std::string_view text = {});
void report_all(const Warnings& warnings, std::string_view text = {});

// Writes to standard output, all of it or an error (a full disk). A closed pipe is a quiet success: whoever read has
// seen enough.
int print(std::string_view text);
// Writes to standard error as it is.
void say(std::string_view text);

}  // namespace weir::tool
