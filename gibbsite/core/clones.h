// GIBBSITE_CLONES marks a kernel that is compiled for several instruction sets and chosen at load time.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(GIBBSITE_NO_CLONES)
#define GIBBSITE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define GIBBSITE_CLONES
#endif

// Marks what such a kernel calls. In a shared object a function that may be replaced at load time is not inlined, and a loop that
// calls is not vectorised.
#if defined(__GNUC__)
#define GIBBSITE_INLINE inline __attribute__((always_inline))
#else
#define GIBBSITE_INLINE inline
#endif
