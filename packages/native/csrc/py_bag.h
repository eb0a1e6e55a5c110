/* py_bag.h: registers the type Bag; part of procession_add_frame(). */
#ifndef PROCESSION_PY_BAG_H
#define PROCESSION_PY_BAG_H

int procession_add_bag(PyObject *module);

#endif
