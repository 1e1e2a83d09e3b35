// What verbs that make classic programs share: the option --to, writing a program, and messages about its text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>

namespace weir::tool {

// Adds `--to FORM`, checked against the names of cbpf::formats() and those of `more`.
CLI::Option* add_format_option(CLI::App& verb, std::string& format, const std::vector<std::string>& more = {});

// Writes the program in the form to the file ("-": standard output); a program that is too long for the form's consumer
// is an error. Returns the exit status.
int write_program(const cbpf::Program& program, cbpf::Format format, const std::string& path = "-");

// Writes text to the file, whole or not at all; bytes that are no text are not written to a terminal.
int write_text(std::string_view text, const std::string& path);

// The error with the name of the file that it is in ("-": standard input).
Error in_source(Error error, const std::string& file);

// Every error of assembler text.
void report_assembly_errors(std::string_view text, const std::string& file);

// What the target would refuse of a program, as warnings or as errors: with the places in the text, or by the number of
// the instruction where `places` is empty.
// Returns how many there are.
std::size_t report_violations(const cbpf::Assembled& assembled, cbpf::Target target, std::string_view text,
                              const std::string& file, Severity severity = Severity::kWarning);

}  // namespace weir::tool
