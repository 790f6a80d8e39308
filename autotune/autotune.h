// The tuner's own pieces: random numbers, search space, strategies, database, measuring worker, gate, inputs, work model, machine limits.
// Knows kernels by their signature and lowerings by their knobs; how a kernel is lowered is not its business.
#ifndef TG_AUTOTUNE_H
#define TG_AUTOTUNE_H

#include "targets/target.h"

struct cJSON;
struct tg_subject;

// ---- random numbers (random.c): xoshiro256** seeded by splitmix64 (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
// ACM TOMS 47(4), 2021). The same seed gives the same numbers on every machine.
typedef struct tg_rng {
  uint64_t s[4];
} tg_rng;
void tg_rng_seed(tg_rng *rng, uint64_t seed);
uint64_t tg_rng_next(tg_rng *rng);
uint64_t tg_rng_below(tg_rng *rng, uint64_t bound); // uniform in [0, bound), bound > 0
double tg_rng_unit(tg_rng *rng);                    // uniform in [0, 1), 53 bits

// ---- statistics (statistics.c)
double tg_median(double *values, int n);                   // sorts the values; n > 0
double tg_mad(const double *sorted, int n, double median); // median absolute deviation of at most 4096 values

// ---- reading JSON, and name=value lists (document.c)
// The inverse of tg_json_bindings; n = -1 when it is not such an object, or names one twice.
tg_bindings tg_doc_read_bindings(tg_arena *arena, const struct cJSON *object);
double tg_doc_read_number(const struct cJSON *object, const char *name);     // 0 when there is no such number
const char *tg_binding_get(tg_bindings bindings, const char *name);          // NULL when absent
bool tg_bindings_equal(tg_bindings a, tg_bindings b);                        // as sets
tg_bindings tg_bindings_join(tg_arena *arena, tg_bindings a, tg_bindings b); // a, then those of b that a does not name

char *tg_doc_finish(const tg_text *text); // a copy that tg_string_free frees

// ---- search space (space.c, space_kernel.c)
#define TG_MAX_AXES 64
typedef struct tg_axis {
  const char *name;
  int n;
  const char *const *values;
  int fallback; // index of the default value
} tg_axis;
// NULL when the config is allowed, else why not.
typedef const char *tg_space_filter(void *user, tg_bindings config);
typedef struct tg_pruned { // configs that are not allowed, by what is said of them
  const char *reason;
  int64_t n;
} tg_pruned;
typedef struct tg_search_space {
  tg_context *ctx;
  int naxes;
  tg_axis *axes;
  int64_t product;   // configs of the Cartesian product
  int n;             // configs that are allowed; a config is named by its index 0 … n-1, in lexicographic order of the axes
  uint32_t *codes;   // mixed-radix number of each, last axis fastest
  int first_default; // the default config, or the allowed one that differs from it in the fewest axes
  int npruned;       // reasons for which others were left out, the most frequent first
  tg_pruned *pruned;
} tg_search_space;
// Throws TG_INVALID when nothing is allowed or the product is beyond 2^22.
tg_search_space *tg_space_make(tg_context *ctx, tg_arena *arena, int naxes, const tg_axis *axes, tg_space_filter *filter, void *user);
// Kernel's meta-parameters times the lowering's knobs; the subject's fixed settings pin axes to one value each. Throws TG_INVALID on a
// value that is not offered.
tg_search_space *tg_space_of(tg_context *ctx, tg_arena *arena, const struct tg_subject *subject);
tg_bindings tg_space_config(const tg_search_space *space, tg_arena *arena, int index);
void tg_space_digits(const tg_search_space *space, int index, int *digits); // value index on each axis
int tg_space_find(const tg_search_space *space, tg_bindings config);        // -1 when not a config of this space

// ---- a sample of a space (cover.c): configs that meet every value, then every pair of values of two axes, then others at random
typedef struct tg_cover tg_cover;
typedef struct tg_covered {
  int values, of_values, pairs, of_pairs; // met so far, of those that allowed configs have
} tg_covered;
tg_cover *tg_cover_make(tg_arena *arena, const tg_search_space *space, uint64_t seed);
int tg_cover_next(tg_cover *cover); // an index not given before; -1 when none is left
tg_covered tg_cover_count(const tg_cover *cover);

// ---- strategies (strategy.c, forest.c): ask for a config, tell its time
typedef struct tg_strategy {
  const char *name, *doc;
  bool seeded; // starts from the database's records of the same kernel
  void *(*start)(tg_arena *arena, const tg_search_space *space, uint64_t seed);
  int (*ask)(void *state);                              // an index not asked for or told before; -1 when none is left
  void (*tell)(void *state, int index, double seconds); // INFINITY = failed; also of configs that were not asked for
} tg_strategy;
extern const tg_strategy tg_strategies[];                               // ends with name NULL
const tg_strategy *tg_strategy_find(tg_context *ctx, const char *name); // NULL = the default; throws TG_INVALID listing what exists
void *tg_forest_start(tg_arena *arena, const tg_search_space *space, uint64_t seed);
int tg_forest_ask(void *state);
void tg_forest_tell(void *state, int index, double seconds);

// ---- database (database.c): text, one JSON record a line; see docs/tuning.md for the fields
typedef struct tg_db_record {
  const char *kernel, *signature, *device, *target, *family, *machine, *version, *lane, *strategy;
  tg_bindings statics, shape, settings, config; // settings: options that differ from their defaults
  tg_bindings resources;                        // what the config takes of a GPU (tg_resources_of); never part of the match
  int threads, runs;
  bool final; // measured again among the finalists, as was what it replaces; else the best so far of a run that was going on
  double seconds, mad;
  uint64_t seed;
  int64_t time; // Unix seconds
} tg_db_record;
typedef struct tg_db {
  tg_arena arena;
  int n, capacity;
  tg_db_record *at;
  int skipped;       // lines that are no records
  int first_skipped; // line number of the first
  const char *first_reason;
} tg_db;
void tg_db_init(tg_db *db, tg_context *ctx);
void tg_db_free(tg_db *db);
void tg_db_parse(tg_db *db, const char *text, size_t size); // adds the records of a text; counts what it skips
// A missing file is empty; one warning with file:line when lines were skipped.
void tg_db_read(tg_db *db, tg_context *ctx, const char *file);
char *tg_db_line(tg_arena *arena, const tg_db_record *record, size_t *size);
// Appends whole lines under a lock, in one write; mends a torn last line of an earlier writer. Throws TG_FAILED with file and reason; then
// the file is as it was.
void tg_db_append(tg_context *ctx, const char *file, const char *text, size_t size);
// Deletes the journals of killed runs of this database (<file>.run-<hash>) that nobody has appended to for `age` seconds.
void tg_db_expire_journals(const char *file, double age);
void tg_db_writable(tg_context *ctx, const char *file); // throws TG_INVALID with the cure when records could not be appended

typedef enum tg_db_level { TG_DB_EXACT, TG_DB_NEAREST, TG_DB_MACHINE, TG_DB_FAMILY, TG_DB_MISS } tg_db_level;
typedef struct tg_db_query {
  const char *kernel, *signature, *device, *target, *family, *machine;
  tg_bindings statics, shape, settings;
  int threads;
  bool (*accept)(void *user, tg_bindings config); // NULL = any
  void *user;
} tg_db_query;
// The record to use, best level first: this shape on this machine; the nearest shape on this machine; the nearest on machines of this
// target; on the family. Among equals an earlier database wins, so that the user's overlays the shipped one; then threads nearest,
// final records, this version's, the newest (on this machine), the fastest. NULL when none fits.
const tg_db_record *tg_db_find(int ndbs, const tg_db *dbs, const tg_db_query *query, tg_db_level *level);

// What identifies tuning of a kernel on a device; `source` may be asked with settings and shape.
typedef struct tg_subject {
  tg_source *source;
  tg_kernel *signature; // borrowed from the source
  const char *hash;     // of the declarations: symbols, parameters, settings
  const char *device, *family;
  const char *compiled_for; // "cpu": what the device's code is compiled for
  const char *target;       // "cpu-avx2": the machine description that this means here
  const char *model;        // the machine's own name for itself
  const tg_machine *machine;
  const tg_family *row;
  tg_bindings options; // given settings that are options of the kernel
  tg_bindings fixed;   // given settings that are meta-parameters or knobs
  tg_bindings changed; // options that differ from their defaults
  tg_bindings shape;   // dynamic letters
  tg_bindings statics;
  int threads;
} tg_subject;
typedef struct tg_request { // what a caller asks for
  const char *device;       // NULL = "cpu"
  tg_bindings shape, settings;
  int threads;  // 0 = all of the host
  bool partial; // some letters may stay open
} tg_request;
void tg_subject_make(tg_context *ctx, tg_arena *arena, tg_source *source, const tg_request *request, tg_subject *out);
// Config from user's and shipped databases for the subject; NULL config when none fits, which is logged once per context and kernel.
const tg_db_record *tg_subject_lookup(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_db_level *level);

// ---- limits of this machine (limits.c)
const char *tg_host_model(tg_arena *arena); // "AMD EPYC 7B13 (25/1)": what the processor calls itself, with family and model
// Measures for some tenths of a second, longer the first time, and returns the highest that this machine ever reached, which the cache
// directory remembers: load, the clock and neighbours of a shared processor only ever lower a figure.
tg_limits tg_limits_get(tg_context *ctx, int threads);
int tg_host_threads(void); // processors this process may use

// ---- inputs (inputs.c): reproducible arguments for a kernel and shape
// A tensor of indices counts down from the greatest if it has at most one for so many that it may hold, as lengths of sequences have: the
// work that follows from them is then known. Others are spread at random.
enum { TG_MANY_INDICES = 8 };
typedef struct tg_inputs {
  int n;
  tg_argument *args; // one per parameter that the caller supplies, outputs included
  bool *is_output;
  int npacked;
  const char **packed; // parameters that went through pack_weights
  double pack_seconds;
} tg_inputs;
// Tensors from `seed` and their names, so that a parameter has the same content whatever else the kernel takes. Arrays live in the
// context's allocator: release with tg_inputs_free.
void tg_inputs_make(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_device *device, uint64_t seed, tg_inputs *out);
void tg_inputs_free(tg_context *ctx, tg_inputs *inputs);
bool tg_shape_lookup(void *subject, const char *name, int64_t *value); // a tg_lookup_fn over a tg_subject: letters, statics, options

// ---- what a kernel takes of a machine (report.c)
// Registers, spilled_bytes, shared_bytes, warps resident on a multiprocessor and, where a disassembler is found, instructions and
// matrix_instructions of the main loop, as far as they are known: of variant 0 of a config, by its launch with the most of the latter. None
// for families whose objects nothing reports on.
tg_bindings tg_resources_of(tg_context *ctx, tg_arena *arena, const struct tg_subject *subject, tg_bindings config);

// ---- work (workload.c): what a launch must do at least, from the tile IR
typedef struct tg_work {
  double flops; // of the dots, 2 per multiply-add; of the elementwise and reducing ops when there is no dot
  double bytes; // every input and output tensor once
} tg_work;
tg_work tg_work_of(const tg_kernel *tile, tg_lookup_fn lookup, void *user);

// ---- gate (gate.c): is a candidate's result right
typedef struct tg_reference {
  void *base; // mapping
  size_t size;
  int n; // outputs, in the order of tg_inputs' outputs
  struct tg_reference_tensor {
    const char *name;
    uint8_t dtype;
    int64_t elements;
    const void *values;     // as the interpreter left them; elements that no sampled block wrote hold its poison
    const float *magnitude; // the same kernel on absolute values: what rounding errors scale with
  } *at;
} tg_reference;
// Interprets sampled blocks and the last block along every axis of the grid, with the kernel's smallest tiles. The values are written to an
// anonymous file whose descriptor is returned, so that measuring processes map rather than recompute them.
int tg_reference_make(tg_context *ctx, tg_arena *arena, const tg_subject *subject, const tg_inputs *inputs, uint64_t seed);
void tg_reference_map(tg_context *ctx, tg_arena *arena, int fd, const tg_inputs *inputs, tg_reference *out);
void tg_reference_unmap(tg_reference *reference);
// NULL when every covered element is within tolerance, else a sentence with the first bad element and their number.
const char *tg_gate(tg_arena *arena, const tg_reference *reference, const tg_inputs *outputs);

// ---- measuring in another process (measure.c: the side that asks; serve.c: the side that measures)
typedef struct tg_setup { // what the measuring process needs to know once
  const char *root, *cache_dir, *database, *worker;
  const char *source, *device;
  tg_bindings shape, settings;
  int threads;
  uint64_t seed;
  int reference_fd; // -1: no gate
} tg_setup;
typedef struct tg_trial {
  bool ok;
  double seconds, mad, compile_seconds;
  int runs;
  char lane[20];    // hash of the lane IR, "" when unknown
  char reason[512]; // when not ok
} tg_trial;

// What the measuring process does for one kind of device; tests bring their own. Every function may throw.
typedef struct tg_backend {
  void *(*open)(tg_context *ctx, const tg_setup *setup);
  uint64_t (*lane)(void *state, tg_bindings config);  // hash of the lane IR, 0 = unknown
  double (*prepare)(void *state, tg_bindings config); // ready to run; returns the seconds the compile took
  void (*run)(void *state, int repeat, double *seconds);
  const char *(*check)(void *state); // after a run: NULL or why the result is wrong
  void (*release)(void *state);      // undoes prepare
  void (*close)(void *state);
} tg_backend;
extern const tg_backend tg_backend_device; // backend.c
// Serves requests on a socket until it closes; the exit status. Called by `tegula-worker measure` and by tests.
int tg_measure_serve(int fd, const tg_backend *backend);
#define TG_MEASURE_FD 3                                      // where a measuring program finds its socket
bool tg_measure_send(int fd, const char *data, size_t size); // all of it; false when the other side is gone
void tg_trial_read(const struct cJSON *json, tg_trial *out); // a reply, or a line of the journal

typedef struct tg_measurer {
  tg_context *ctx;
  const char *const *argv; // measuring program
  tg_setup setup;
  int pid, fd; // 0, -1 while none is running
  int end;     // readable once the process has ended; -1 where the system has no such descriptor
} tg_measurer;
void tg_measurer_init(tg_measurer *m, tg_context *ctx, const char *const *argv, const tg_setup *setup);
void tg_measurer_stop(tg_measurer *m);
// Hash of the config's lane IR into out->lane. A failure to lower is a failed trial.
void tg_measurer_lane(tg_measurer *m, tg_bindings config, double limit, tg_trial *out);
typedef struct tg_pace {
  double best;   // seconds to beat, which lets a slow candidate go early; 0 = none
  double settle; // seconds spent on repeats at most, unless fewer than three fit
  double limit;  // seconds for everything, compiling included; then the process is ended
  bool gate;     // compare the result with the reference first
} tg_pace;
// Measures one config. A candidate that crashes, hangs or eats the memory ends its process, is reported as failed, and the next call starts
// a fresh process. Throws only when the measuring program cannot be started or its setup is refused.
void tg_measurer_run(tg_measurer *m, tg_bindings config, const tg_pace *pace, tg_trial *out);

// ---- a tuning run (search.c)
typedef struct tg_plan {
  tg_context *ctx;
  tg_search_space *space;
  const tg_strategy *strategy;
  uint64_t seed;
  int trials;      // 0 = the strategy's default
  double budget;   // seconds, 0 = none
  double spent;    // of them already gone when the run starts
  double patience; // seconds that any candidate is given; slow default configs add to it. 0 = 10
  int nseeds;
  const int *seeds; // configs to try after the default one
  int standing;     // config that the database gives for this very subject; -1 when it is not of this space
  double to_beat;   // seconds that its record claims, 0 = there is no record
  const char *const *argv;
  tg_setup setup;
  const char *database;                                                      // NULL: nothing is recorded
  const char *journal;                                                       // NULL: nothing to resume from
  tg_db_record record;                                                       // what every record of this run shares
  tg_bindings (*resources)(void *user, tg_arena *arena, tg_bindings config); // of a final record's config; NULL: none are noted
  void *resources_user;
  void (*progress)(void *user, int done, int total, double best_seconds, double eta_seconds);
  void *user;
} tg_plan;
typedef struct tg_evaluated {
  int index;
  bool resumed; // taken from the journal
  tg_trial trial;
} tg_evaluated;
typedef struct tg_outcome {
  int n;
  tg_evaluated *at;   // in the order tried
  int best, standard; // positions in `at` of the best and of the default config; -1 when there is none that works
} tg_outcome;
void tg_plan_run(const tg_plan *plan, tg_arena *arena, tg_outcome *out);

#endif
