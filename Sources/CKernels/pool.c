// The thread pool: persistent threads that spin, then park in the kernel, between parallel regions.
//
// Invariants: every task of a region runs exactly once; ck_pool_run returns when all have run, and what they wrote is
// visible to its caller. A thread that is late (descheduled, still waking) never touches a later region with an earlier
// region's function, because a task is claimed by compare-and-swap on a ticket that holds the region's generation.
// No region waits for a thread that has claimed nothing, so more threads than cores cost little.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "context.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

// The index part of a ticket while a region is being set up: at least as large as any count of tasks.
#define CLOSED UINT32_MAX
#define MOST_TASKS ((int64_t)1 << 31)

typedef struct {
  ck_pool *pool;
  pthread_t thread;
  int worker;
} pool_thread;

struct ck_pool {
  // The region, written by the caller while the ticket is closed.
  _Alignas(64) _Atomic(ck_task) task;
  _Atomic(void *) argument;
  _Atomic int64_t base;
  _Atomic uint32_t tasks;
  // generation << 32 | next index
  _Alignas(64) _Atomic uint64_t ticket;
  // Rises by one when a region is open; idle threads wait for it to change.
  _Alignas(64) _Atomic uint32_t generation;
  _Atomic uint32_t sleepers;
  // Tasks that have not finished; the caller waits for 0.
  _Alignas(64) _Atomic uint32_t left;
  _Atomic uint32_t caller_sleeps;
  _Atomic bool stop;
  int threads, spins;
#if !defined(__linux__)
  pthread_mutex_t mutex;
  pthread_cond_t changed;
#endif
  pool_thread workers[];
};

// Returns when *word may have left `value`; spurious returns are fine.
static void park(ck_pool *pool, _Atomic uint32_t *word, uint32_t value) {
#if defined(__linux__)
  (void)pool;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
  pthread_mutex_lock(&pool->mutex);
  while (atomic_load(word) == value) pthread_cond_wait(&pool->changed, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
#endif
}

static void wake(ck_pool *pool, _Atomic uint32_t *word, int count) {
#if defined(__linux__)
  (void)pool;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
#else
  (void)word;
  (void)count;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->changed);
  pthread_mutex_unlock(&pool->mutex);
#endif
}

// Claims and runs tasks of the open region until none is left.
static void work(ck_pool *pool, int worker) {
  uint32_t done = 0;
  uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
  for (;;) {
    // These belong to the ticket's region if the exchange below succeeds: the caller closes the ticket before it
    // changes them.
    uint32_t tasks = atomic_load_explicit(&pool->tasks, memory_order_acquire);
    ck_task task = atomic_load_explicit(&pool->task, memory_order_acquire);
    void *argument = atomic_load_explicit(&pool->argument, memory_order_acquire);
    int64_t base = atomic_load_explicit(&pool->base, memory_order_acquire);
    uint32_t index = (uint32_t)ticket;
    if (index >= tasks) break;
    if (!atomic_compare_exchange_weak_explicit(
            &pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire)) {
      continue;
    }
    task(argument, base + index, worker);
    done += 1;
    ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
  }
  // A region cannot end, nor another begin, before this subtraction. So `done` belongs to one region.
  if (done > 0 && atomic_fetch_sub(&pool->left, done) == done && atomic_load(&pool->caller_sleeps) != 0) {
    wake(pool, &pool->left, 1);
  }
}

static void *thread_main(void *argument) {
  pool_thread *self = argument;
  ck_pool *pool = self->pool;
  uint32_t seen = 0;
  for (;;) {
    int spins = pool->spins;
    uint32_t now;
    while ((now = atomic_load_explicit(&pool->generation, memory_order_acquire)) == seen) {
      if (spins > 0) {
        spins -= 1;
        RELAX();
        continue;
      }
      atomic_fetch_add(&pool->sleepers, 1);
      if (atomic_load(&pool->generation) == seen) park(pool, &pool->generation, seen);
      atomic_fetch_sub(&pool->sleepers, 1);
    }
    seen = now;
    if (atomic_load(&pool->stop)) return NULL;
    work(pool, self->worker);
  }
}

ck_pool *ck_pool_create(int threads, int spins) {
  if (threads < 1) threads = 1;
  size_t size = sizeof(ck_pool) + sizeof(pool_thread) * (size_t)threads;
  ck_pool *pool = NULL;
  if (posix_memalign((void **)&pool, 64, (size + 63) / 64 * 64) != 0) return NULL;
  pool->threads = threads;
  // Spinning takes the core from the thread that is waited for when there are not enough cores.
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  pool->spins = cores > 0 && threads > cores ? 0 : spins;
  atomic_init(&pool->task, NULL);
  atomic_init(&pool->argument, NULL);
  atomic_init(&pool->base, 0);
  atomic_init(&pool->tasks, 0);
  atomic_init(&pool->ticket, CLOSED);
  atomic_init(&pool->generation, 0);
  atomic_init(&pool->sleepers, 0);
  atomic_init(&pool->left, 0);
  atomic_init(&pool->caller_sleeps, 0);
  atomic_init(&pool->stop, false);
#if !defined(__linux__)
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->changed, NULL);
#endif
  for (int i = 0; i < threads - 1; i++) {
    pool->workers[i].pool = pool;
    pool->workers[i].worker = i + 1;
    if (pthread_create(&pool->workers[i].thread, NULL, thread_main, &pool->workers[i]) != 0) {
      pool->threads = i + 1;
      ck_pool_destroy(pool);
      return NULL;
    }
  }
  return pool;
}

void ck_pool_destroy(ck_pool *pool) {
  if (pool == NULL) return;
  atomic_store(&pool->stop, true);
  atomic_fetch_add(&pool->generation, 1);
  wake(pool, &pool->generation, pool->threads);
  for (int i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i].thread, NULL);
#if !defined(__linux__)
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->changed);
#endif
  free(pool);
}

int ck_pool_threads(const ck_pool *pool) { return pool == NULL ? 1 : pool->threads; }

static void run_region(ck_pool *pool, int64_t base, uint32_t tasks, ck_task task, void *argument) {
  uint64_t generation = (uint64_t)(atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1) << 32;
  atomic_store(&pool->ticket, generation | CLOSED);
  atomic_store_explicit(&pool->task, task, memory_order_release);
  atomic_store_explicit(&pool->argument, argument, memory_order_release);
  atomic_store_explicit(&pool->base, base, memory_order_release);
  atomic_store_explicit(&pool->tasks, tasks, memory_order_release);
  atomic_store_explicit(&pool->left, tasks, memory_order_release);
  atomic_store(&pool->ticket, generation);
  atomic_fetch_add(&pool->generation, 1);
  uint32_t sleepers = atomic_load(&pool->sleepers);
  if (sleepers > 0) wake(pool, &pool->generation, (int)(sleepers < tasks ? sleepers : tasks - 1));

  work(pool, 0);

  int spins = pool->spins;
  uint32_t left;
  while ((left = atomic_load_explicit(&pool->left, memory_order_acquire)) != 0) {
    if (spins > 0) {
      spins -= 1;
      RELAX();
      continue;
    }
    atomic_store(&pool->caller_sleeps, 1);
    if ((left = atomic_load(&pool->left)) != 0) park(pool, &pool->left, left);
    atomic_store(&pool->caller_sleeps, 0);
  }
}

void ck_pool_run(ck_pool *pool, int64_t tasks, ck_task task, void *argument) {
  if (pool == NULL || pool->threads == 1 || tasks <= 1) {
    for (int64_t i = 0; i < tasks; i++) task(argument, i, 0);
    return;
  }
  for (int64_t base = 0; base < tasks; base += MOST_TASKS) {
    int64_t count = tasks - base < MOST_TASKS ? tasks - base : MOST_TASKS;
    run_region(pool, base, (uint32_t)count, task, argument);
  }
}
