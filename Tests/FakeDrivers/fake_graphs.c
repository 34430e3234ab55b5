// Capture and replay in the fake driver: a graph is a list of operations.
#include <stdlib.h>

#include "fake_state.h"

struct cuda_executable_graph_s {
  struct cuda_graph_s graph;
};

cuda_result fake_start(cuda_stream stream, operation started) {
  if (!stream->capture) {
    fake_run(&started);
    return CUDA_SUCCESS;
  }
  operation *kept = malloc(sizeof(operation));
  *kept = started;
  kept->next = NULL;
  cuda_graph graph = stream->capture;
  if (graph->last) graph->last->next = kept;
  else graph->first = kept;
  graph->last = kept;
  graph->count++;
  return CUDA_SUCCESS;
}

cuda_result fake_cuStreamBeginCapture(cuda_stream stream, cuda_capture_mode mode) {
  ENTER(cuStreamBeginCapture);
  NEEDS_STREAM(stream);
  if (mode != CUDA_CAPTURE_RELAXED || stream->capture) return CUDA_ERROR_INVALID_VALUE;
  stream->capture = calloc(1, sizeof(struct cuda_graph_s));
  fake_made("graphs", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuStreamEndCapture(cuda_stream stream, cuda_graph *graph) {
  // A capture that was broken ends, too.
  cuda_graph captured = stream->capture;
  stream->capture = NULL;
  *graph = NULL;
  ENTER(cuStreamEndCapture);
  NEEDS_STREAM(stream);
  *graph = captured;
  return CUDA_SUCCESS;
}

static void copy_graph(cuda_graph to, const struct cuda_graph_s *from) {
  *to = (struct cuda_graph_s){0};
  operation **link = &to->first;
  for (operation *each = from->first; each; each = each->next) {
    *link = malloc(sizeof(operation));
    **link = *each;
    to->last = *link;
    link = &(*link)->next;
    to->count++;
  }
}

static void free_graph(cuda_graph graph) {
  for (operation *each = graph->first; each;) {
    operation *next = each->next;
    free(each);
    each = next;
  }
}

cuda_result fake_cuGraphInstantiateWithFlags(
  cuda_executable_graph *executable, cuda_graph graph, unsigned long long flags) {
  ENTER(cuGraphInstantiateWithFlags);
  NEEDS_CONTEXT();
  if (flags) return CUDA_ERROR_INVALID_VALUE;
  *executable = calloc(1, sizeof(struct cuda_executable_graph_s));
  copy_graph(&(*executable)->graph, graph);
  fake_made("executables", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuGraphExecUpdate(cuda_executable_graph executable, cuda_graph graph, cuda_graph_update *update) {
  ENTER(cuGraphExecUpdate);
  NEEDS_CONTEXT();
  operation *a = executable->graph.first, *b = graph->first;
  while (a && b && a->kind == b->kind) a = a->next, b = b->next;
  update->result = a || b ? 2 : 0;
  if (a || b) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  free_graph(&executable->graph);
  copy_graph(&executable->graph, graph);
  return CUDA_SUCCESS;
}

cuda_result fake_cuGraphLaunch(cuda_executable_graph executable, cuda_stream stream) {
  ENTER(cuGraphLaunch);
  NEEDS_STREAM(stream);
  for (operation *each = executable->graph.first; each; each = each->next) fake_run(each);
  return CUDA_SUCCESS;
}

cuda_result fake_cuGraphExecDestroy(cuda_executable_graph executable) {
  ENTER(cuGraphExecDestroy);
  free_graph(&executable->graph);
  free(executable);
  fake_made("executables", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuGraphDestroy(cuda_graph graph) {
  ENTER(cuGraphDestroy);
  free_graph(graph);
  free(graph);
  fake_made("graphs", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuGraphGetNodes(cuda_graph graph, cuda_graph_node *nodes, size_t *count) {
  ENTER(cuGraphGetNodes);
  if (nodes) return CUDA_ERROR_INVALID_VALUE;
  *count = graph->count;
  return CUDA_SUCCESS;
}
