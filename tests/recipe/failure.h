// The line of an error that a test provokes.
#pragma once

#include <gibbsite/core/error.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <type_traits>

namespace gibbsite {

/// What `work` throws of kind E, which has exit code 2 where it is a RequestError; the test fails where it throws nothing.
template <class E = RequestError>
std::string failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const E& error) {
    if constexpr (std::is_same_v<E, RequestError>) {
      EXPECT_EQ(error.exit_code(), 2);
    }
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

}  // namespace gibbsite
