// Marks a kernel that is compiled for several instruction sets and chosen at load time.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(GIBBSITE_NO_CLONES)
#define GIBBSITE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define GIBBSITE_CLONES
#endif
