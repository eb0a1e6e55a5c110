/* check.h: how the C tests fail. */
#ifndef PROCESSION_CHECK_H
#define PROCESSION_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(x) do { if (!(x)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); abort(); } } while (0)

#endif
