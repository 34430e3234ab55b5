// Libraries that are opened at run time, and stay open until the process ends.
#ifndef CDRIVERS_LIBRARY_H
#define CDRIVERS_LIBRARY_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

// The loader's text of the last failure, cut to `room` bytes.
static inline void library_error(char *error, size_t room) {
  const char *text = dlerror();
  if (room > 0) snprintf(error, room, "%s", text ? text : "unknown error");
}

// The first library of a list that is there, or NULL, with the loader's text for the last one.
static inline void *library_open(const char *const *names, size_t count, char *error, size_t room) {
  void *library = NULL;
  for (size_t i = 0; i < count && !library; i++) {
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) library_error(error, room);
  }
  return library;
}

#endif
