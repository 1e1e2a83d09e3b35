#include <weir/kernel/program_image.h>

#include <gtest/gtest.h>

#include <weir/ebpf/instruction.h>

namespace weir::kernel {
namespace {

// r0 = 7; exit
ebpf::Program seven() {
  ebpf::Program program;
  program.instructions = {ebpf::make(0xb7, 0, 0, 0, 7), ebpf::make(0x95)};
  program.lines = {{0, 3, 0, "f", ""}, {1, 9, 0, "f", ""}};
  return program;
}

TEST(ProgramImage, TheKernelTellsItsCodeAndWhereLinesBegin) {
  const Result<ProgramImage> image = compile(seven());
  if (!image && (image.error().code == ErrorCode::kUnsupported || image.error().code == ErrorCode::kSystem))
    GTEST_SKIP() << image.error().message << ": " << image.error().hint;
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->instructions.size(), 2u);
  EXPECT_GE(image->code.size(), 3u);
  ASSERT_EQ(image->lines.size(), 2u);
  EXPECT_EQ(image->lines[0].line, 3u);
  EXPECT_EQ(image->lines[1].line, 9u);
  EXPECT_LT(image->lines[0].offset, image->lines[1].offset);
  EXPECT_LT(image->lines[1].offset, image->code.size());
}

TEST(ProgramImage, WhatTheVerifierRefusesComesWithItsReason) {
  ebpf::Program program = seven();
  program.instructions[0] = ebpf::make(0xbf, 0, 3);  // r0 = r3, which was never written
  const Result<ProgramImage> image = compile(program);
  ASSERT_FALSE(image);
  if (image.error().system_error == EPERM || image.error().system_error == ENOSYS)
    GTEST_SKIP() << image.error().message;
  EXPECT_NE(image.error().hint.find("R3 !read_ok"), std::string::npos) << image.error().hint;
}

TEST(ProgramImage, NoSuchProgram) {
  const Result<FileDescriptor> none = open_program(0xfffffff0);
  ASSERT_FALSE(none);
  if (none.error().system_error != 0) GTEST_SKIP() << none.error().message;
  EXPECT_EQ(none.error().message, "the kernel has no program 4294967280");
}

}  // namespace
}  // namespace weir::kernel
