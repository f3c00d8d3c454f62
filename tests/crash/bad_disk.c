/* Calls that write to a lake fail with the errno that stands in the file BAD_DISK names, as long as it is there.
   What is written to files anywhere else, and all reading, goes through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int refused(int file) {
    char link[64], path[4096];
    const char *control = getenv("BAD_DISK");
    int number = 0;
    FILE *told;
    ssize_t size;
    if (!control || access(control, R_OK)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (!strstr(path, "/lake/")) return 0;
    if (!(told = fopen(control, "re"))) return 0;
    if (fscanf(told, "%d", &number) != 1) number = 0;
    fclose(told);
    return number;
}

#define FAILING(result, name, parameters, arguments)                      \
    result name parameters {                                              \
        static result(*next) parameters;                                  \
        int number = refused(file);                                       \
        if (number) { errno = number; return -1; }                        \
        if (!next) next = (result(*) parameters)dlsym(RTLD_NEXT, #name);  \
        return next arguments;                                            \
    }

FAILING(ssize_t, write, (int file, const void *data, size_t size), (file, data, size))
FAILING(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
FAILING(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at))
FAILING(int, ftruncate, (int file, off_t size), (file, size))
FAILING(int, fsync, (int file), (file))
FAILING(int, fdatasync, (int file), (file))
FAILING(int, syncfs, (int file), (file))
