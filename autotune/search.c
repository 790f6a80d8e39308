// A tuning run: default config, seeds, then what the strategy asks for; duplicates by lane IR are one candidate; everything evaluated goes
// to a journal, so that a killed run resumes; finalists are measured again, interleaved.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/json.h"

enum { DEFAULT_TRIALS = 64, FINALISTS = 4, MAX_FINALISTS = 12, TURNS = 3, ROUNDS = 3, MAX_SAMPLES = 1 + TURNS * ROUNDS };

typedef enum known { UNKNOWN, EVALUATED, DUPLICATE } known;

typedef struct run {
  const tg_plan *plan;
  tg_arena *arena;
  tg_outcome *out;
  tg_measurer measurer;
  double start;       // of this process's part
  double first_total; // wall seconds that the default config took to evaluate, 0 = not yet
  int trials;         // wanted
  int measured;       // evaluated here, not resumed
  known *known;       // of every config of the space
  int *position;      // in out->at: its own, or that of the config with the same lane IR
  tg_trial **journal; // of every config, NULL where it has no line
  known *in_journal;
  bool journal_failed;
} run;

// ---- the journal: one line for every config evaluated or found to be a duplicate

static void journal_line(run *r, int index, const tg_trial *trial, known kind) {
  tg_text text = {.arena = r->arena};
  tg_text_add(&text, "{");
  tg_json_put_bindings(&text, "config", tg_space_config(r->plan->space, r->arena, index));
  tg_json_put_bool(&text, "duplicate", kind == DUPLICATE);
  tg_json_put_bool(&text, "ok", trial->ok);
  tg_json_put_number(&text, "seconds", trial->seconds);
  tg_json_put_number(&text, "mad", trial->mad);
  tg_json_put_int(&text, "runs", trial->runs);
  tg_json_put_string(&text, "lane", trial->lane);
  tg_json_put_string(&text, "reason", trial->reason);
  tg_text_add(&text, "}\n");
  tg_db_append(r->plan->ctx, r->plan->journal, text.data, text.size);
}

typedef struct note {
  run *run;
  int index;
  const tg_trial *trial;
  known kind;
} note;

static void note_body(void *arg) {
  note *n = arg;
  journal_line(n->run, n->index, n->trial, n->kind);
}

static void write_journal(run *r, int index, const tg_trial *trial, known kind) {
  if (!r->plan->journal || r->journal_failed) return;
  if (tg_protect(r->plan->ctx, note_body, &(note){r, index, trial, kind}) == TG_OK) return;
  r->journal_failed = true;
  tg_log(r->plan->ctx, TG_LOG_WARNING, "this run cannot be resumed: %s", tg_error_message(r->plan->ctx));
}

static void read_journal_line(run *r, const char *line, size_t size) {
  cJSON *json = cJSON_ParseWithLength(line, size);
  tg_bindings config = tg_doc_read_bindings(r->arena, cJSON_GetObjectItemCaseSensitive(json, "config"));
  int index = config.n >= 0 ? tg_space_find(r->plan->space, config) : -1;
  tg_trial trial;
  tg_trial_read(json, &trial);
  if (index >= 0 && (!trial.ok || trial.seconds > 0)) {
    r->journal[index] = TG_NEW(r->arena, tg_trial);
    *r->journal[index] = trial;
    r->in_journal[index] = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "duplicate")) ? DUPLICATE : EVALUATED;
  }
  cJSON_Delete(json);
}

static void read_journal(run *r) {
  FILE *in = r->plan->journal ? fopen(r->plan->journal, "r") : NULL;
  char *line = NULL;
  size_t capacity = 0;
  ssize_t size;
  while (in && (size = getline(&line, &capacity, in)) > 0)
    if (line[size - 1] == '\n') read_journal_line(r, line, (size_t)size); // a torn last line was never finished
  free(line);
  if (in) fclose(in);
}

// ---- the database

typedef struct record_call {
  run *run;
  const tg_evaluated *what;
  bool final;
} record_call;

static void record_body(void *arg) {
  record_call *c = arg;
  const tg_plan *plan = c->run->plan;
  tg_db_record record = plan->record;
  record.config = tg_space_config(plan->space, c->run->arena, c->what->index);
  record.seconds = c->what->trial.seconds;
  record.mad = c->what->trial.mad;
  record.runs = c->what->trial.runs;
  record.lane = c->what->trial.lane;
  record.final = c->final;
  if (c->final && plan->resources) record.resources = plan->resources(plan->resources_user, c->run->arena, record.config);
  record.strategy = plan->strategy->name;
  record.seed = plan->seed;
  record.version = TG_VERSION;
  record.time = (int64_t)time(NULL);
  size_t size;
  char *line = tg_db_line(c->run->arena, &record, &size);
  tg_db_append(plan->ctx, plan->database, line, size);
}

// The best so far, so that a run that is interrupted leaves something of use. A full disk shows again, as an error, at the end.
static void record_progress(run *r, const tg_evaluated *what) {
  if (!r->plan->database || what->resumed) return;
  if (tg_protect(r->plan->ctx, record_body, &(record_call){r, what, false}) != TG_OK)
    tg_log(r->plan->ctx, TG_LOG_WARNING, "%s", tg_error_message(r->plan->ctx));
}

// ---- evaluating

static double best_seconds(const run *r) { return r->out->best >= 0 ? r->out->at[r->out->best].trial.seconds : 0; }

static double left(const run *r) { return r->plan->budget > 0 ? r->plan->budget - r->plan->spent - (tg_seconds() - r->start) : INFINITY; }

// Seconds a candidate may take for compiling, checking and measuring: generous beside the default config, which took first_total.
static double time_limit(const run *r) {
  double limit = r->first_total > 0 ? (r->plan->patience > 0 ? r->plan->patience : 10) + 10 * r->first_total : 300;
  return fmin(limit, fmax(left(r), 0) + 5);
}

static double settle_time(const run *r) { return r->plan->budget > 0 ? fmin(0.4, r->plan->budget / 50) : 0.4; }

static int add_evaluated(run *r, int index, const tg_trial *trial, bool resumed) {
  tg_outcome *out = r->out;
  int at = out->n++;
  out->at[at] = (tg_evaluated){index, resumed, *trial};
  r->known[index] = EVALUATED;
  r->position[index] = at;
  if (trial->ok && (out->best < 0 || trial->seconds < best_seconds(r))) {
    out->best = at;
    record_progress(r, &out->at[at]);
  }
  return at;
}

static int same_lane(const run *r, const char *lane) {
  for (int i = 0; *lane && i < r->out->n; i++)
    if (!strcmp(r->out->at[i].trial.lane, lane)) return i;
  return -1;
}

static void measure_one(run *r, int index) {
  tg_bindings config = tg_space_config(r->plan->space, r->arena, index);
  double begin = tg_seconds();
  tg_trial lane, trial;
  tg_measurer_lane(&r->measurer, config, time_limit(r), &lane);
  int twin = lane.ok ? same_lane(r, lane.lane) : -1;
  if (twin >= 0) {
    r->known[index] = DUPLICATE;
    r->position[index] = twin;
    write_journal(r, index, &lane, DUPLICATE);
    return;
  }
  trial = lane;
  if (lane.ok) {
    tg_pace pace = {.best = best_seconds(r), .settle = settle_time(r), .limit = time_limit(r), .gate = r->plan->setup.reference_fd >= 0};
    tg_measurer_run(&r->measurer, config, &pace, &trial);
    memcpy(trial.lane, lane.lane, sizeof trial.lane);
  }
  write_journal(r, index, &trial, EVALUATED);
  add_evaluated(r, index, &trial, false);
  if (r->first_total == 0) r->first_total = tg_seconds() - begin;
  r->measured++;
}

// Makes the config's time known, from this run, its journal or a measurement, and returns it; INFINITY when it failed.
static double evaluate(run *r, int index) {
  if (r->known[index] == UNKNOWN && r->in_journal[index] != UNKNOWN) {
    int twin = r->in_journal[index] == DUPLICATE ? same_lane(r, r->journal[index]->lane) : -1;
    if (twin >= 0) r->known[index] = DUPLICATE, r->position[index] = twin;
    else if (r->in_journal[index] == EVALUATED) add_evaluated(r, index, r->journal[index], true);
  }
  if (r->known[index] == UNKNOWN) measure_one(r, index);
  const tg_trial *trial = &r->out->at[r->position[index]].trial;
  return trial->ok ? trial->seconds : INFINITY;
}

static void report(run *r) {
  if (!r->plan->progress) return;
  double spent = tg_seconds() - r->start, eta = 0;
  if (r->measured) eta = spent / r->measured * (r->trials - r->out->n);
  if (r->plan->budget > 0) eta = fmin(eta, fmax(left(r), 0));
  r->plan->progress(r->plan->user, r->out->n, r->trials, best_seconds(r), eta);
}

static void search(run *r) {
  const tg_plan *plan = r->plan;
  void *state = plan->strategy->start(r->arena, plan->space, plan->seed);
  double reserve = plan->budget * 0.15; // for the finalists
  for (int i = -1; i < plan->nseeds && r->out->n < r->trials && (i < 0 || left(r) > reserve); i++) {
    int index = i < 0 ? plan->space->first_default : plan->seeds[i];
    if (r->known[index] != UNKNOWN) continue;
    plan->strategy->tell(state, index, evaluate(r, index));
    report(r);
  }
  while (r->out->n < r->trials && left(r) > reserve) {
    int index = plan->strategy->ask(state);
    if (index < 0) break;
    plan->strategy->tell(state, index, evaluate(r, index));
    report(r);
  }
}

// ---- finalists

typedef struct finalist {
  int at; // in out->at
  int n;  // samples; the first is the search's own
  double times[MAX_SAMPLES], mads[MAX_SAMPLES];
} finalist;

static int compare_seconds(const void *a, const void *b, void *out) {
  const tg_evaluated *at = ((tg_outcome *)out)->at, *x = &at[*(const int *)a], *y = &at[*(const int *)b];
  if (x->trial.seconds != y->trial.seconds) return x->trial.seconds < y->trial.seconds ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

static bool is_listed(const finalist *list, int n, int at) {
  for (int i = 0; i < n; i++)
    if (list[i].at == at) return true;
  return false;
}

static finalist first_sample(const run *r, int at) {
  const tg_trial *trial = &r->out->at[at].trial;
  return (finalist){.at = at, .n = 1, .times = {trial->seconds}, .mads = {trial->mad}};
}

// Adds the fastest few that are not yet among the finalists and that noise may have kept from being the best; the default config, too, the
// first time. Returns the new number.
static int add_finalists(run *r, finalist *list, int n) {
  const tg_outcome *o = r->out;
  int *order = TG_NEWN(r->arena, int, o->n + 1), usable = 0, before = n;
  for (int i = 0; i < o->n; i++)
    if (o->at[i].trial.ok) order[usable++] = i;
  qsort_r(order, (size_t)usable, sizeof *order, compare_seconds, r->out);
  const tg_trial *best = &o->at[o->best].trial;
  for (int i = 0; i < usable && n < before + FINALISTS && n < MAX_FINALISTS; i++) {
    const tg_trial *trial = &o->at[order[i]].trial;
    double band = before ? 1 : fmin(fmax(1.1, 1 + 4 * (best->mad / best->seconds + trial->mad / trial->seconds)), 1.5);
    if (trial->seconds <= band * best->seconds && !is_listed(list, n, order[i])) list[n++] = first_sample(r, order[i]);
  }
  bool works = o->standard >= 0 && o->at[o->standard].trial.ok;
  if (!before && works && !is_listed(list, n, o->standard)) list[n++] = first_sample(r, o->standard);
  return n;
}

static void measure_finalists(run *r, finalist *list, int n) {
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < n; i++) {
      tg_trial trial;
      tg_pace pace = {.settle = 0.5 * settle_time(r), .limit = time_limit(r)};
      if (left(r) <= 0) continue;
      tg_measurer_run(&r->measurer, tg_space_config(r->plan->space, r->arena, r->out->at[list[i].at].index), &pace, &trial);
      if (!trial.ok) continue;
      list[i].times[list[i].n] = trial.seconds;
      list[i].mads[list[i].n++] = trial.mad;
    }
  }
}

// Half-width of the band, beside the time itself, in which noise hides differences.
static double noise_of(const tg_trial *trial) {
  return fmin(2 * 1.48 * trial->mad / trial->seconds, 0.02); // 1.48 MAD = one standard deviation
}

// Among those that noise cannot tell from the fastest, the default config wins, then the first of the space: choices stay put from run to
// run. Of an even number of samples the lower of the middle two counts: load only ever adds.
static void settle_best(run *r, finalist *list, int n) {
  tg_outcome *o = r->out;
  int fastest = 0;
  for (int i = 0; i < n; i++) {
    tg_trial *trial = &o->at[list[i].at].trial;
    tg_median(list[i].times, list[i].n); // sorts
    trial->seconds = list[i].times[(list[i].n - 1) / 2];
    trial->mad = tg_median(list[i].mads, list[i].n);
    if (trial->seconds < o->at[list[fastest].at].trial.seconds) fastest = i;
  }
  const tg_trial *best = &o->at[list[fastest].at].trial;
  double band = best->seconds * (1 + noise_of(best));
  int winner = list[fastest].at;
  for (int i = 0; i < n; i++) {
    int at = list[i].at;
    if (o->at[at].trial.seconds > band || winner == o->standard) continue;
    if (at == o->standard || o->at[at].index < o->at[winner].index) winner = at;
  }
  o->best = winner;
}

// When turns or time ran out while the search had seen something clearly faster than the best finalist has become, that is the best.
static void fall_back(tg_outcome *o) {
  int least = o->best;
  for (int i = 0; i < o->n; i++)
    if (o->at[i].trial.ok && o->at[i].trial.seconds < o->at[least].trial.seconds) least = i;
  const tg_trial *fastest = &o->at[least].trial;
  if (o->at[o->best].trial.seconds > fastest->seconds * (1 + noise_of(fastest))) o->best = least;
}

// The fastest are measured again in turns. When that shows the best to be slower than one left out, those come in as well.
static void choose_best(run *r) {
  finalist list[MAX_FINALISTS + 1];
  int n = 0;
  for (int turn = 0; turn < TURNS; turn++) {
    int now_listed = add_finalists(r, list, n);
    if (now_listed == n || now_listed < 2) break;
    n = now_listed;
    measure_finalists(r, list, n);
    settle_best(r, list, n);
  }
  fall_back(r->out);
}

// A final record takes the place of an older one whatever that claims, so its run has to have measured what stands there, or be faster than
// the claim: a run with pinned settings or hardly any time must not put a slower config in force.
static bool replaces_record(const run *r) {
  bool met = r->plan->standing >= 0 && r->known[r->plan->standing] != UNKNOWN;
  return met || r->plan->to_beat <= 0 || best_seconds(r) < r->plan->to_beat;
}

static void body(void *arg) {
  run *r = arg;
  read_journal(r);
  search(r);
  int index = r->plan->space->first_default;
  r->out->standard = r->known[index] != UNKNOWN ? r->position[index] : -1;
  if (r->out->best >= 0) {
    choose_best(r);
    if (r->plan->database) record_body(&(record_call){r, &r->out->at[r->out->best], replaces_record(r)});
  }
  if (r->plan->journal) unlink(r->plan->journal); // the run is complete, even one in which all failed: the next tries again
}

void tg_plan_run(const tg_plan *plan, tg_arena *arena, tg_outcome *out) {
  int n = plan->space->n, standard = strcmp(plan->strategy->name, "exhaustive") == 0 || plan->budget > 0 ? n : DEFAULT_TRIALS;
  int trials = plan->trials > 0 ? plan->trials : standard;
  run r = {.plan = plan, .arena = arena, .out = out, .start = tg_seconds(), .trials = trials < n ? trials : n};
  *out = (tg_outcome){.at = TG_NEWN(arena, tg_evaluated, r.trials + 1), .best = -1, .standard = -1};
  r.known = TG_NEWN(arena, known, n + 1);
  r.in_journal = TG_NEWN(arena, known, n + 1);
  r.position = TG_NEWN(arena, int, n + 1);
  r.journal = TG_NEWN(arena, tg_trial *, n + 1);
  tg_measurer_init(&r.measurer, plan->ctx, plan->argv, &plan->setup);
  tg_status status = tg_protect(plan->ctx, body, &r);
  tg_measurer_stop(&r.measurer);
  if (status != TG_OK) tg_rethrow(plan->ctx);
}
