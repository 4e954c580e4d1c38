/* Runs a library called "model": ./library WEIGHTS THREADS < inputs > outputs.

   Two threads run it at the same time, many times, then a forked child does. The result is written
   if all of them agree; otherwise, and for each error, the status says what went wrong. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

enum { CALLS = 20, BAD_INPUT = 64, DIFFERENT = 65, BAD_CHILD = 66 };

typedef struct caller {
  model_model *model;
  const void **inputs;
  void *outputs[model_OUTPUTS];
  int threads;
  int status;
} caller;

static void *call(void *given) {
  caller *own = given;
  for (int each = 0; each < CALLS && own->status == TILEC_OK; ++each)
    own->status = model_run(own->model, own->inputs, own->outputs, own->threads);
  return NULL;
}

static caller make(model_model *model, const void **inputs, int threads) {
  caller made = {model, inputs, {NULL}, threads, TILEC_OK};
  for (int at = 0; at < model_num_outputs(); ++at)
    made.outputs[at] = calloc(1, (size_t)model_output(at)->bytes + 1);
  return made;
}

static int same(const caller *left, const caller *right) {
  for (int at = 0; at < model_num_outputs(); ++at)
    if (memcmp(left->outputs[at], right->outputs[at], (size_t)model_output(at)->bytes) != 0)
      return 0;
  return 1;
}

int main(int count, char **arguments) {
  if (count != 3 || model_abi() != model_ABI || model_input(model_INPUTS) != NULL)
    return BAD_INPUT;
  model_model *model = NULL;
  int status = model_open(arguments[1], &model);
  if (status != TILEC_OK) {
    fprintf(stderr, "%s\n", model_error(status));
    return status;
  }
  const void *inputs[model_INPUTS + 1];
  for (int at = 0; at < model_num_inputs(); ++at) {
    const tilec_tensor *tensor = model_input(at);
    void *data = malloc((size_t)tensor->bytes + 1);
    if (fread(data, 1, (size_t)tensor->bytes, stdin) != (size_t)tensor->bytes) return BAD_INPUT;
    inputs[at] = data;
  }
  const int threads = atoi(arguments[2]);
  caller one = make(model, inputs, threads), two = make(model, inputs, threads);
  pthread_t other;
  if (pthread_create(&other, NULL, call, &two) != 0) return BAD_INPUT;
  call(&one);
  pthread_join(other, NULL);
  if (one.status != TILEC_OK || two.status != TILEC_OK) return one.status | two.status;
  if (!same(&one, &two)) return DIFFERENT;

  const pid_t child = fork();
  if (child == 0) {
    caller forked = make(model, inputs, threads);
    call(&forked);
    _exit(forked.status == TILEC_OK && same(&one, &forked) ? 0 : 1);
  }
  int ended = 1;
  if (waitpid(child, &ended, 0) != child || ended != 0) return BAD_CHILD;

  if (model_run(model, NULL, one.outputs, threads) != TILEC_ARGUMENT) return BAD_INPUT;
  if (model_run(NULL, inputs, one.outputs, threads) != TILEC_ARGUMENT) return BAD_INPUT;
  for (int at = 0; at < model_num_outputs(); ++at)
    fwrite(one.outputs[at], 1, (size_t)model_output(at)->bytes, stdout);
  model_close(model);
  model_close(NULL);
  return fflush(stdout) == 0 ? 0 : BAD_INPUT;
}
