// File descriptors that close themselves, whole small files, and files that appear only when complete.
//
// FileDescriptor owns its descriptor and is movable, not copyable. ReplacingFile writes beside its final path and
// renames on commit(), so a failed run leaves nothing half-written. It writes straight to a path that is not a regular
// file (a pipe, /dev/null, a terminal), to a stream that the process was given ("-", /dev/stdout, /dev/fd/N), and over
// a file that may be written but not replaced: its folder may not be written, or it is mounted by itself, as containers
// have it. Neither is synchronised.
#pragma once

#include <string>
#include <string_view>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

namespace weir {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  int release();

 private:
  int descriptor_ = -1;
};

// Opens for reading; "-" is standard input (a duplicate of descriptor 0).
Result<FileDescriptor> open_for_reading(const std::string& path);

// Writes all bytes, resuming after short writes and signals. `name` is used in the error.
Status write_all(int descriptor, ByteSpan bytes, std::string_view name);

// Reads a whole file of at most `limit` bytes; "-" is standard input.
Result<std::string> read_whole_file(const std::string& path, std::size_t limit = 256u << 20);

class ReplacingFile {
 public:
  // "-" is standard output. Nothing exists at `path` until commit(); symbolic links are followed, also to nothing. A
  // file that is there keeps its permissions and, where the system allows, its owner and group; it is never
  // set-user-ID.
  static Result<ReplacingFile> create(const std::string& path);
  ReplacingFile(ReplacingFile&&) noexcept;
  ReplacingFile& operator=(ReplacingFile&&) noexcept;
  ~ReplacingFile();  // without commit(): removes what was written beside. Where the file system has files without names
                     // (open(2), O_TMPFILE), nothing stays either of a process that is killed

  int descriptor() const { return descriptor_.get(); }
  const std::string& path() const { return path_; }
  // Whether this is a new file that nobody else has written to: what was written may be changed in place.
  bool is_new() const { return unnamed_ || !beside_.empty(); }
  // Closes the file, since some systems report only then that it could not be stored, and gives it its name.
  Status commit();

 private:
  ReplacingFile() = default;
  void discard();
  Status give_name();
  FileDescriptor descriptor_;
  std::string path_;
  std::string beside_;    // the temporary path; empty when written in place
  bool unnamed_ = false;  // the file has no path yet
};

// Whether two outputs would spoil each other: both lead to one file (there already or not), pipe or terminal. Not where
// all that is written is thrown away, as in /dev/null.
bool would_collide(const std::string& output, const std::string& other);

// Whether an output leads to the regular file that an input is read from.
bool is_read_from(const std::string& output, const std::string& input);

}  // namespace weir
