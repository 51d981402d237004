/* Whole numbers that Python code hands to a kernel call: exact, and refused by name. */
#ifndef SMPMM_WHOLE_H
#define SMPMM_WHOLE_H

#include <Python.h>

/* What is no int of one digit; apart, to keep the quick way short. */
static __attribute__((noinline, cold)) long long whole_slowly(PyObject *o, const char *call,
                                                              const char *name) {
    int overflow;
    long long value;
    PyObject *number;
    if (!PyIndex_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s: %s=%R is no whole number but %.100s", call, name, o,
                     Py_TYPE(o)->tp_name);
        return -1;
    }
    number = PyNumber_Index(o);
    if (number == NULL)
        return -1;
    value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow > 0) {
        value = (long long)PyLong_AsUnsignedLongLong(number);
        overflow = PyErr_Occurred() != NULL;
    }
    if (overflow) {
        PyErr_Format(PyExc_OverflowError, "%s: %s=%R has more than 64 bits", call, name,
                     number);
        value = -1;
    }
    Py_DECREF(number);
    return value;
}

/* The number; one from 2**63 on is the negative one of the same bits, as a C argument is.
   -1 with an exception. */
static inline __attribute__((always_inline)) long long whole(PyObject *o, const char *call,
                                                             const char *name) {
#if PY_VERSION_HEX >= 0x030C0000
    if (PyLong_CheckExact(o) && PyUnstable_Long_IsCompact((PyLongObject *)o))
        return PyUnstable_Long_CompactValue((PyLongObject *)o);
#else
    if (PyLong_CheckExact(o) && (size_t)Py_SIZE(o) <= 1)
        return Py_SIZE(o) ? ((PyLongObject *)o)->ob_digit[0] : 0;
#endif
    return whole_slowly(o, call, name);
}

static __attribute__((noinline, cold)) long long negative(long long value, const char *call,
                                                          const char *name) {
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "%s: %s=%lld is negative", call, name, value);
    return -1;
}

/* A number of bytes or of time: not negative. */
static inline long long whole_count(PyObject *o, const char *call, const char *name) {
    long long value = whole(o, call, name);
    return value >= 0 ? value : negative(value, call, name);
}

/* An argument of type int. */
static inline int whole_int(PyObject *o, const char *call, const char *name) {
    long long value = whole(o, call, name);
    if (value != (int)value) {
        PyErr_Format(PyExc_OverflowError, "%s: %s=%lld has more than 32 bits", call, name,
                     value);
        return -1;
    }
    return (int)value;
}
#endif
