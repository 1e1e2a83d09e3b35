// How much of a region is given out before anything of it was taken back.
#include "pipe/segments.h"

#include <gtest/gtest.h>

namespace weir::pipe {
namespace {

struct Region {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(64 << 20);
  capture::Region region{bytes, 0, {}};
  RegionWork work{.region = &region, .jobs = std::vector<RegionJob>(1)};
};

std::size_t give_all(Segments& segments) {
  std::size_t count = 0;
  while (SegmentResult* const result = segments.give()) {
    segments.finish(*result);
    ++count;
  }
  return count;
}

TEST(Segments, BehindARegionThatEndedSoonLittleIsGivenOut) {
  for (const unsigned threads : {1u, 4u}) {
    Region region;
    Segments segments({.threads = threads});
    segments.reset(region.work);
    EXPECT_EQ(give_all(segments), 32u * threads);  // of the first region, as much as there is room for
    segments.pop();                                // it ends here
    segments.cancel();
    segments.reset(region.work);
    const std::size_t first = give_all(segments);
    EXPECT_LT(first, 32u * threads);
    segments.pop();
    segments.cancel();
    segments.reset(region.work);
    EXPECT_EQ(give_all(segments), 1u);
    // As long as nothing stops, there is more and more, up to all of it.
    std::size_t most = 0;
    std::size_t given = 1;
    while (!segments.is_done()) {
      segments.pop();
      const std::size_t more = give_all(segments);
      most = std::max(most, more);
      given += more;
    }
    EXPECT_GT(most, 4u);
    EXPECT_GT(given, 64u);
  }
}

}  // namespace
}  // namespace weir::pipe
