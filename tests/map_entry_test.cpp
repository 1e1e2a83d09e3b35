// Keys and values of maps as texts: each form, its limits, and texts changed at random.
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "map_entry_cases.h"

namespace weir {
namespace {

tool::EntryForm whole() {
  const tests::EntryTypes types = tests::entry_types();
  kernel::MapInfo info;
  info.key_size = 4;
  info.value_size = types.whole_size;
  info.value_type = types.whole;
  return tool::EntryForm::with(info, types.btf);
}

TEST(MapEntry, ByTypesThereAndBack) {
  const std::string text =
      R"({"all":305419896,"bits":{"rest":11,"signed_five":-3,"three":5},"colour":"BLUE","flag":true,"low":120,)"
      R"("name":"weir","numbers":[-1,2,300],"pointer":"0xffff800000001000","ratio":1.5,"s16":-300,"s64":-5,"s8":-56,"small":200})";
  const auto bytes = whole().read_value(text);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(whole().value_text(*bytes), text);
}

TEST(MapEntry, SaysWhatDoesNotFit) {
  const auto refused = [](const std::string& text, const char* why) {
    const auto bytes = whole().read_value(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_NE(bytes.error().message.find(why), std::string::npos) << bytes.error().message;
  };
  refused(R"({"small":256})", "does not fit into 1 byte");
  refused(R"({"s16":-32769})", "does not fit into 2 bytes");
  refused(R"({"s8":200})", "does not fit into 1 byte (signed char)");
  refused(R"({"small":-1})", "does not fit into 1 byte (unsigned char)");
  refused(R"({"pointer":-1})", "does not fit into 8 bytes");
  refused(R"({"flag":7})", "does not fit into 1 byte (_Bool)");
  refused(R"({"ratio":1e300})", "does not fit into 4 bytes (float)");
  refused(R"({"ratio":"1.5"})", "is no number");
  refused(R"({"numbers":"abcd"})", "is no array");
  refused(R"({"bits":{"three":8}})", "does not fit into 3 bits");
  refused(R"({"bits":{"signed_five":-17}})", "does not fit into 5 bits");
  refused(R"({"colour":"GREEN"})", "is no number");
  refused(R"({"numbers":[1,2,3,4]})", "an array has 3 elements");
  refused(R"({"name":"longer than six"})", "does not fit into 6 bytes");
  refused(R"({"nosuch":1})", "has no member 'nosuch'");
  refused(R"({"small":)", "is no JSON");
  refused("[1]", "is no object");
  refused(R"({"small":)" + std::string(50000, '[') + std::string(50000, ']') + "}", "an array is no number");
}

// What is shown may be written, whatever it is.
TEST(MapEntry, ShownAndReadBack) {
  tests::TypeTableBuilder b;
  const std::uint32_t wide = b.add("__int128", 1, 0, 16);
  b.put(128);
  const std::uint32_t real = b.add("double", 16, 0, 8), longest = b.add("long double", 16, 0, 16);
  const auto variable = [&](const char* name, std::uint32_t type) {
    const std::uint32_t id = b.add(name, 14, 0, type);
    b.put(1);
    return id;
  };
  const std::uint32_t one = variable("one", wide), two = variable("two", real), three = variable("three", longest);
  const std::uint32_t section = b.add(".data", 15, 3, 40);
  for (const auto& [id, offset, size] : {std::array{one, 0u, 16u}, {two, 16u, 8u}, {three, 24u, 16u}}) {
    b.put(id);
    b.put(offset);
    b.put(size);
  }
  kernel::MapInfo info;
  info.value_size = 40;
  info.value_type = section;
  const tool::EntryForm form = tool::EntryForm::with(info, b.build());
  for (const double number : {0.1, -1e300, HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    std::vector<std::uint8_t> bytes(40);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(200 + i);
    std::memcpy(&bytes[16], &number, sizeof number);
    const auto again = form.read_value(form.value_text(bytes));
    ASSERT_TRUE(again) << form.value_text(bytes) << again.error().message;
    EXPECT_EQ(*again, bytes) << form.value_text(bytes);
  }
  EXPECT_NE(form.read_value(R"({"four":1})").error().message.find("no variable 'four'"), std::string::npos);
}

// Numbers of 128 bits, enumerations in bit fields, arrays of truth values: what fits is read and shown, no more.
TEST(MapEntry, WhatFitsIntoItsBits) {
  tests::TypeTableBuilder b;
  const auto integer = [&](const char* name, std::uint32_t size) {
    const std::uint32_t id = b.add(name, 1, 0, size);
    b.put(8 * size);
    return id;
  };
  const std::uint32_t wide = integer("__int128", 16), unsigned_wide = integer("unsigned __int128", 16);
  const std::uint32_t u32 = integer("unsigned int", 4), flag = integer("_Bool", 1);
  const std::uint32_t colour = b.add("colour", 6, 4, 4);
  for (const auto& [name, value] : {std::pair{"GREEN", 9u}, {"BLUE", 200u}, {"DARK", 0xfffffffau}, {"RED", 1u}}) {
    b.put(b.name_of(name));
    b.put(value);
  }
  const std::uint32_t flags = b.add("", 3, 0, 0);
  b.put(flag);
  b.put(u32);
  b.put(3);
  const std::uint32_t whole = b.add("whole", 4, 5, 48, true);
  b.member("wide", wide, 0);
  b.member("uwide", unsigned_wide, 128);
  b.member("c", colour, 4u << 24 | 256);
  b.member("d", colour, 8u << 24 | 264);
  b.member("flags", flags, 272);
  kernel::MapInfo info;
  info.value_size = 48;
  info.value_type = whole;
  const tool::EntryForm form = tool::EntryForm::with(info, b.build());

  const auto read = form.read_value(R"({"wide":18446744073709551615,"uwide":9223372036854775808})");
  ASSERT_TRUE(read) << read.error().message;
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ((*read)[i], i < 8 ? 0xff : i == 23 ? 0x80 : 0) << i;
  const auto negative = form.read_value(R"({"wide":-5})");
  ASSERT_TRUE(negative) << negative.error().message;
  EXPECT_EQ((*negative)[0], 0xfb);
  EXPECT_EQ((*negative)[15], 0xff);

  const auto again = [&](const std::string& text) {
    const auto bytes = form.read_value("{" + text + "}");
    return bytes ? form.value_text(*bytes) : bytes.error().message;
  };
  EXPECT_THAT(again(R"("c":"GREEN")"), testing::HasSubstr(R"("c":"GREEN")"));
  EXPECT_THAT(again(R"("c":"DARK")"), testing::HasSubstr(R"("c":"DARK")"));
  EXPECT_THAT(again(R"("c":14)"), testing::HasSubstr(R"("c":14)"));
  EXPECT_THAT(again(R"("c":8)"), testing::HasSubstr(R"("c":8)"));
  EXPECT_THAT(again(R"("d":"BLUE")"), testing::HasSubstr(R"("d":"BLUE")"));
  EXPECT_EQ(again(R"("c":"BLUE")"), R"("BLUE" does not fit into 4 bits (colour))");
  EXPECT_EQ(again(R"("c":200)"), "200 does not fit into 4 bits (colour)");
  EXPECT_EQ(again(R"("uwide":-5)"), "-5 does not fit into 16 bytes (unsigned __int128)");
  EXPECT_EQ(again(R"("flags":"abc")"), R"("abc" is no array)");
  EXPECT_THAT(again(R"("flags":[true,false,1])"), testing::HasSubstr(R"("flags":[true,false,true])"));
}

TEST(MapEntry, NumbersWithoutBytes) {
  kernel::MapInfo info;
  const tool::EntryForm form = tool::EntryForm::with(info, std::nullopt);
  for (const char* text : {"5", "-5", "0x1f", "hex:00", "str:a", "10.0.0.1"}) EXPECT_FALSE(form.read_key(text)) << text;
  EXPECT_TRUE(form.read_key(""));
}

// The key of an LPM trie is a net; an address alone is told what it lacks.
TEST(MapEntry, AddressWithoutPrefix) {
  kernel::MapInfo info;
  info.type = ebpf::MapType::kLpmTrie;
  info.key_size = 8;
  const tool::EntryForm form = tool::EntryForm::with(info, std::nullopt);
  EXPECT_EQ(form.read_key("10.1.2.3").error().hint, "write 10.1.2.3/32");
  EXPECT_TRUE(form.read_key("10.1.2.3/32"));
  EXPECT_NE(form.read_key("fe80::1").error().hint.find("write 5"), std::string::npos);
}

TEST(MapEntry, AnyText) {
  const std::string seeds[] = {
      "5",
      "-1",
      "0xffffffff",
      "18446744073709551616",
      "10.0.0.1",
      "fe80::1",
      "10.0.0.0/8",
      "::/128",
      "hex:0a0b",
      "0a 0b",
      "str:eth0",
      R"({"small":1,"flag":true,"s16":-5,"colour":"RED","name":"ab","numbers":[1,-2,3]})",
      R"({"all":7,"bits":{"three":7,"signed_five":-16,"rest":16777215},"s64":-9223372036854775808,"pointer":"0x10"})"};
  std::mt19937_64 random(5);
  int read = 0;
  for (int i = 0; i < 30000; ++i) {
    std::string text = std::string(1, static_cast<char>(random())) + seeds[random() % std::size(seeds)];
    for (std::uint64_t changes = random() % 4; changes > 0; --changes) {
      const std::size_t at = 1 + random() % text.size();
      constexpr std::string_view kOthers("0123456789-x:./ {}[],\"ae\0\xff", 26);
      const char other = kOthers[random() % kOthers.size()];
      if (at >= text.size() || random() % 3 == 0) text.insert(std::min(at, text.size()), 1, other);
      else if (random() % 2 == 0) text[at] = other;
      else text.erase(at, 1 + random() % 3);
    }
    read += tests::try_entry(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()) ? 1 : 0;
  }
  EXPECT_GT(read, 3000);
}

}  // namespace
}  // namespace weir
