// Flips the guard of Highway's per-target headers, so that the next pass includes them anew.
// Included by passes_x86.h after each target; no guard of its own.
#ifdef HWY_TARGET_TOGGLE
#undef HWY_TARGET_TOGGLE
#else
#define HWY_TARGET_TOGGLE
#endif
