#include <weir/base/file.h>

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

namespace weir {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "weir-file-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ / name; }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static ByteSpan bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }
  fs::path folder_;
};

TEST_F(FileTest, AppearsOnlyWhenCommitted) {
  auto file = ReplacingFile::create(path("a"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(write_all(file->descriptor(), bytes("hello"), "a"));
  EXPECT_FALSE(fs::exists(path("a")));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(*read_whole_file(path("a")), "hello");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, LeavesNothingWithoutCommit) {
  { auto file = ReplacingFile::create(path("a")); }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, KeepsTheModeAndTheLink) {
  {
    auto file = ReplacingFile::create(path("target"));
    ASSERT_TRUE(file->commit());
  }
  fs::permissions(path("target"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("target", path("link"));
  auto file = ReplacingFile::create(path("link"));
  ASSERT_TRUE(file);
  ASSERT_TRUE(write_all(file->descriptor(), bytes("x"), "link"));
  ASSERT_TRUE(file->commit());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(*read_whole_file(path("target")), "x");
  EXPECT_EQ(fs::status(path("target")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(FileTest, WritesADeviceInPlace) {
  auto file = ReplacingFile::create("/dev/full");
  ASSERT_TRUE(file);
  const Status status = write_all(file->descriptor(), bytes("x"), "/dev/full");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().system_error, ENOSPC);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(FileTest, RefusesFoldersAndMissingFiles) {
  EXPECT_FALSE(read_whole_file(folder_));
  EXPECT_FALSE(read_whole_file(path("missing")));
  EXPECT_FALSE(ReplacingFile::create(folder_));
  EXPECT_FALSE(ReplacingFile::create(path("no/such/folder")));
}

TEST_F(FileTest, RefusesFilesOverTheLimit) {
  auto file = ReplacingFile::create(path("a"));
  ASSERT_TRUE(write_all(file->descriptor(), bytes("hello"), "a"));
  ASSERT_TRUE(file->commit());
  EXPECT_FALSE(read_whole_file(path("a"), 4));
  EXPECT_TRUE(read_whole_file(path("a"), 5));
}

}  // namespace
}  // namespace weir
