/* py_bag.h: the type Bag; part of procession_add_frame(). */
#ifndef PROCESSION_PY_BAG_H
#define PROCESSION_PY_BAG_H

extern PyTypeObject *bag_type;               /* Bag; Pipe derives from it */
int procession_add_bag(PyObject *module);

#endif
