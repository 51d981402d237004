/* The instruction of the Python frame that runs now. The public way (PyEval_GetFrame) makes a
 * frame object in each fresh frame, 27 ns; the interpreter's own record costs one. */
#ifndef SMPMM_CALLSITE_H
#define SMPMM_CALLSITE_H

#include <Python.h>
#include <string.h>

#if PY_VERSION_HEX < 0x030D0000
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#undef HAVE_STD_ATOMIC
#include "internal/pycore_frame.h"

static inline void *current_code(void **instruction) {
    PyThreadState *tstate = _PyThreadState_UncheckedGet();
    _PyInterpreterFrame *frame = tstate->cframe->current_frame;
#if PY_VERSION_HEX >= 0x030C0000
    while (frame != NULL && frame->owner == FRAME_OWNED_BY_CSTACK) frame = frame->previous;
#endif
    if (frame == NULL) return NULL;
    *instruction = (void *)frame->prev_instr;
    return frame->f_code;
}

static inline int instruction_line(void *code_, void *instruction) {
    PyCodeObject *code = (PyCodeObject *)code_;
    return PyCode_Addr2Line(code, (int)((char *)instruction - (char *)_PyCode_CODE(code)));
}

static inline void *frame_now(void) {
    return _PyThreadState_UncheckedGet()->cframe->current_frame;
}

/* NULL for a frame that is the interpreter's own (3.12 has one for each entry from C). */
static inline void *frame_code(void *frame_, void **instruction) {
    _PyInterpreterFrame *frame = (_PyInterpreterFrame *)frame_;
#if PY_VERSION_HEX >= 0x030C0000
    if (frame->owner == FRAME_OWNED_BY_CSTACK) return NULL;
#endif
    *instruction = (void *)frame->prev_instr;
    return frame->f_code;
}

static inline void *frame_before(void *frame) {
    return ((_PyInterpreterFrame *)frame)->previous;
}
#else
static inline void *frame_now(void) { return PyEval_GetFrame(); }

static inline void *frame_code(void *frame, void **instruction) {
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    *instruction = (char *)code + PyFrame_GetLasti((PyFrameObject *)frame) + 1;
    Py_DECREF(code);
    return code;
}

static inline void *frame_before(void *frame) {
    PyFrameObject *back = PyFrame_GetBack((PyFrameObject *)frame);
    Py_XDECREF(back); /* its own thread's stack keeps it alive */
    return back;
}

static inline void *current_code(void **instruction) {
    PyFrameObject *frame = PyEval_GetFrame();
    PyCodeObject *code;
    if (frame == NULL) return NULL;
    code = PyFrame_GetCode(frame);
    *instruction = (char *)code + PyFrame_GetLasti(frame) + 1;
    Py_DECREF(code);
    return code;
}

static inline int instruction_line(void *code_, void *instruction) {
    PyCodeObject *code = (PyCodeObject *)code_;
    return PyCode_Addr2Line(code, (int)((char *)instruction - (char *)code - 1));
}
#endif

static inline const char *text_of(PyObject *unicode) {
    const char *text = PyUnicode_AsUTF8(unicode);
    if (text == NULL) PyErr_Clear();
    return text ? text : "?";
}

/* The qualified name behind its last "<locals>.": what is before may be longer than a name. */
static inline const char *code_function(void *code) {
    const char *name = text_of(((PyCodeObject *)code)->co_qualname);
    const char *next;
    while ((next = strstr(name, "<locals>.")) != NULL) name = next + 9;
    return name;
}

static inline const char *code_file(void *code) {
    return text_of(((PyCodeObject *)code)->co_filename);
}

/* The process-local table keys on addresses inside the code object: it must not be freed. */
static inline void keep_code(void *code) { Py_INCREF((PyObject *)code); }

static int drop_pending(void *code) {
    Py_DECREF((PyObject *)code);
    return 0;
}

/* Give a code object up between two bytecodes of the main thread, not here inside a kernel
 * call: what it refers to may run Python when it goes. Returns 0 when that is arranged. */
static inline int drop_code(void *code) { return Py_AddPendingCall(drop_pending, code); }

#endif
