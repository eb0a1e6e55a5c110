/* py_cells.h: the parts of procession_add_cells(). */
#ifndef PROCESSION_PY_CELLS_H
#define PROCESSION_PY_CELLS_H

#include "py_arena.h"

int procession_add_names(PyObject *module);         /* py_names.c */
int procession_add_pack(PyObject *module);          /* py_pack.c */

#endif
