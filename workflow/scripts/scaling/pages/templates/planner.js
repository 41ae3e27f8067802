"use strict";
// The planner's arithmetic, step by step that of scaling/planner.py and scaling/shapes.py: a test compares them.
const planner = (() => {
  const [SMALLEST, LARGEST, SIZES] = [Math.log(10), Math.log(1e22), 96];
  const [HALVINGS, REACH] = [48, 120];
  const TIMES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8];
  const BATCHES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16];
  const FEWEST_KEPT = 0.9;
  const PAPERS_RATE = [0.003239, 0.0001395];

  // --- shapes ---------------------------------------------------------------------------------------------

  const ASPECT = 64;
  const ASPECTS = [24, ASPECT, 160];
  const UNITS = [[2048, 128], [256, 64], [64, 32], [0, 8]];
  const HEADS = [[1024, 128], [128, 64], [32, 16], [0, 8]];
  const OFF = 1.3;
  const width = (N, aspect = ASPECT) => Math.cbrt((N * aspect) / 12);
  const step = (table, value) => table.find(([least]) => value >= least)[1];
  const nearest = (value) => Math.floor(value + 0.5);
  const bodyOf = (shape) => 12 * shape.n_layer * shape.d_model ** 2;

  function near(N) {
    const miss = (shape) => {
      const ratio = bodyOf(shape) / N;
      return nearest(100 * Math.max(ratio, 1 / ratio)) / 100;
    };
    const found = [];
    for (const aspect of ASPECTS) {
      const wanted = width(N, aspect);
      const unit = step(UNITS, wanted);
      const [first, last] = [0.75, 1.25].map((share) => Math.max(1, nearest((share * wanted) / unit)));
      let best = null;
      for (let count = first; count <= last; count += 1) {
        const d_model = unit * count;
        const n_layer = Math.max(1, nearest(N / (12 * d_model ** 2)));
        let head = step(HEADS, d_model);
        while (d_model % head) head /= 2;
        const shape = { n_layer, d_model, d_ff: 4 * d_model, n_head: d_model / head };
        const off = Math.abs(d_model - wanted);
        if (!best || miss(shape) < best.miss || (miss(shape) === best.miss && off < best.off))
          best = { shape, miss: miss(shape), off };
      }
      if (!found.some(({ shape }) => shape.n_layer === best.shape.n_layer && shape.d_model === best.shape.d_model))
        found.push(best);
    }
    const close = found.filter((one) => one.miss <= OFF);
    const least = found.reduce((one, other) => (other.miss < one.miss ? other : one));
    return (close.length ? close : [least]).map((one) => one.shape);
  }

  // --- FLOPs and parameters of a size ---------------------------------------------------------------------

  function modelOf(counting, text) {
    const head = counting === "6N" ? 0 : 6 * text.n_vocab;
    const context = counting === "attention" ? text.n_ctx : 0;
    const embedded = text ? (text.tied ? 1 : 2) * text.n_vocab + text.n_ctx : 0;
    const flops = (N) => 6 * N + head * width(N) + (context ? (context * N) / width(N) : 0);
    const size = (N, total) => (total ? N + embedded * width(N) : N);
    return {
      flops,
      size,
      flopsSlope: (N) =>
        (6 * N + (head * width(N)) / 3 + (context ? (((context * N) / width(N)) * 2) / 3 : 0)) / flops(N),
      sizeSlope: (N, total) => (total ? (N + (embedded * width(N)) / 3) / size(N, true) : 1),
      flopsOf: (shape) => {
        const attention = context ? 12 * shape.n_layer * context * shape.d_model : 0;
        return 6 * bodyOf(shape) + head * shape.d_model + attention;
      },
    };
  }

  // --- one draw of a road ---------------------------------------------------------------------------------

  function drawOf(road, r, model, question) {
    const c = road.columns;
    const [a, ln_N, b, ln_x, E] = [c.a[r], c.ln_N[r], c.b[r], c.ln_x[r], c.E ? c.E[r] : 0];
    const served = question.served || 0;
    const ofSize = (N) => Math.exp(a * (ln_N - Math.log(model.size(N, road.total))));
    const ofX = (y) => Math.exp(b * (ln_x - y));
    const critical = road.x === "S_min" ? (loss) => Math.exp(c.ln_B[r] - c.of_loss[r] * Math.log(loss)) : () => null;
    const batch = (loss) => {
      if (road.x === "D") return null;
      if (road.x === "S") return road.batch;
      return question.times * critical(loss);
    };
    const tokens = (y, loss) => {
      const x = Math.exp(y);
      return road.x === "D" ? x : x * (batch(loss) + (road.x === "S_min" ? critical(loss) : 0));
    };
    const halve = (low, high, short) => {
      for (let i = 0; i < HALVINGS; i += 1) {
        const middle = (low + high) / 2;
        if (short(middle)) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    };
    const compute = (N, D) => model.flops(N) * (D + served / 3);

    // the loss of a size after D tokens
    const trained = (N, D) => {
      if (!(D > 0)) return Infinity;
      const converged = E + ofSize(N);
      let y;
      if (road.x === "D") y = Math.log(D);
      else if (road.x === "S") y = Math.log(D / batch());
      else y = halve(ln_x - REACH, ln_x + REACH, (at) => tokens(at, converged + ofX(at)) < D);
      return converged + ofX(y);
    };
    // ln x where a size reaches a loss
    const reaching = (N, loss) => {
      const left = loss - E - ofSize(N);
      return left > 0 ? ln_x - Math.log(left) / b : Infinity;
    };
    // ln x and loss where training a size has to end for no other to do better with the same compute
    const best = (N, using = served) => {
      const converged = E + ofSize(N);
      const wanted = a * ofSize(N) * model.sizeSlope(N, road.total);
      const slope = b * model.flopsSlope(N);
      let y = ln_x - Math.log(wanted / slope) / b;
      if (using)
        y = halve(ln_x - REACH, ln_x + REACH, (at) => {
          const term = ofX(at);
          return slope * term * (1 + using / (3 * tokens(at, converged + term))) > wanted;
        });
      return [y, converged + ofX(y)];
    };
    // the size from which on compute grows along the best sizes; it depends on no budget
    let branch = null;
    const first = () => {
      if (branch !== null) return branch;
      const apart = (LARGEST - SMALLEST) / (SIZES - 1);
      branch = 0;
      let before = -Infinity;
      for (let i = 0; i < SIZES; i += 1) {
        const N = Math.exp(SMALLEST + i * apart);
        const now = model.flops(N) * tokens(...best(N, 0));
        if (i && now - before <= 0) branch = i;
        before = now;
      }
      branch = SMALLEST + branch * apart;
      return branch;
    };
    const optimum = (budget, loss) => {
      const short = (n) => {
        const N = Math.exp(n);
        const [y, reached] = best(N);
        return loss == null ? compute(N, tokens(y, reached)) < budget : reached > loss;
      };
      if (short(LARGEST)) return loss == null ? NaN : Infinity;
      return short(first()) ? Math.exp(halve(first(), LARGEST, short)) : NaN;
    };
    return { E, ofSize, critical, batch, tokens, compute, trained, reaching, best, first, optimum };
  }

  // --- answers --------------------------------------------------------------------------------------------

  function quantile(values, share) {
    const ordered = Float64Array.from(values).sort();
    const place = share * (ordered.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, ordered.length - 1);
    if (place === below || ordered[below] === ordered[above]) return ordered[below];
    if (!Number.isFinite(ordered[above])) return Infinity;
    return ordered[below] + (place - below) * (ordered[above] - ordered[below]);
  }

  // {value, low, high, certified} of the fit's number and its draws'; null where the fit has none
  function teller(road) {
    return (values) => {
      if (!Number.isFinite(values[0])) return null;
      const given = values.slice(1).filter((value) => !Number.isNaN(value));
      const [low, high] = road.tails.map((tail) => (given.length ? quantile(given, tail) : NaN));
      const share = given.length / Math.max(values.length - 1, 1);
      return {
        value: values[0],
        low: Number.isFinite(low) ? low : null,
        high: Number.isFinite(high) ? high : null,
        certified: road.certificate.passed && share >= FEWEST_KEPT,
      };
    };
  }

  function rate(rule, N, B) {
    if (rule === null) rule = { value: PAPERS_RATE[0], ln_N: -PAPERS_RATE[1] };
    if (typeof rule === "number") return rule;
    if (typeof rule.ln_N === "number") {
      const found = rule.value + rule.ln_N * Math.log(N);
      return found > 0 ? found : NaN;
    }
    let found = rule.value;
    for (const [name, value] of Object.entries({ N, d_model: width(N), B }))
      if (rule[name]) found *= value === null ? NaN : (value / rule[name].at) ** rule[name].exponent;
    return rule.most ? Math.min(found, rule.most) : found;
  }

  // everything of training a size on D tokens, or for as long as it is the best
  function training(draw, model, question, rule, N, D = null) {
    let [y, loss] = [null, null];
    if (D === null) {
      [y, loss] = draw.best(N);
      D = draw.tokens(y, loss);
    } else loss = draw.trained(N, D);
    const B = draw.batch(loss);
    const C = model.flops(N) * D;
    const endless = N === Infinity || C === Infinity;
    return {
      N: endless ? Infinity : N,
      D: endless ? Infinity : D,
      C: endless ? Infinity : C,
      S: B === null ? null : endless ? Infinity : D / B,
      B,
      loss,
      B_crit: draw.critical(loss),
      served: endless ? Infinity : (model.flops(N) * question.served) / 3,
      learning_rate: rate(rule, N, B),
    };
  }

  // draws of a road by what is asked of it, so that each new budget costs no new search for branches
  const kept = new Map();
  function drawsOf(known, road, model, question) {
    const key = JSON.stringify([question.counting, question.times, question.served]);
    if (kept.get(road)?.key !== key) {
      const draws = Array.from(road.columns.a, (_, r) => drawOf(road, r, model, question));
      kept.set(road, { key, draws });
    }
    return kept.get(road).draws;
  }

  const EMPTY = {
    best: {}, planned: {}, money: {}, sizes: [], batches: [], shapes: [], beyond: { C: null, N: null, D: null },
  };

  // sizes to train, tokens where a size and a budget are given, and why there is no answer, or null
  function choice(draws, model, question) {
    if (question.N == null) {
      const sizes = draws.map((draw) => draw.optimum(question.budget, question.loss));
      if (Number.isFinite(sizes[0])) return [sizes, null, null];
      if (question.loss == null) return [sizes, null, "no size is best for this budget by the fit"];
      return [sizes, null, `${sizes[0] === Infinity ? "no" : "every"} size gets below this loss by the fit`];
    }
    const sizes = draws.map(() => question.N);
    if (!question.budget) return [sizes, null, null];
    const D = question.budget / model.flops(question.N) - question.served / 3;
    return [sizes, D, D > 0 ? null : "serving this size takes more than the budget"];
  }

  function answer(known, asked) {
    const question = { times: 1, served: 0, devices: 1, ...asked };
    const road = known.roads.find((one) => one.name === question.road);
    const model = modelOf(question.counting, known.text);
    const draws = drawsOf(known, road, model, question);
    const tell = teller(road);
    const told = (of) => tell(draws.map(of));
    let [sizes, D, reason] = choice(draws, model, question);
    const trainingOf = (r, tokens) => training(draws[r], model, question, known.learning_rate, sizes[r], tokens);
    const found = draws.map((_, r) => trainingOf(r, D));
    if (!reason && !Number.isFinite(found[0].C)) reason = "it takes endless compute by the fit";
    if (reason) return { reason, ...EMPTY };
    const best = {};
    for (const name of Object.keys(found[0]))
      if (found[0][name] !== null && !(name === "learning_rate" && known.learning_rate?.B && found[0].B === null))
        best[name] = told((_, r) => found[r][name]);
    const whole = found[0].C + found[0].served;
    const planned = {
      loss: told((draw) => draw.trained(sizes[0], found[0].D)),
      converged: told((draw) => draw.E + draw.ofSize(sizes[0])),
    };
    if (question.N != null && question.budget) {
      const free = draws.map((_, r) => trainingOf(r, null));
      planned.is_best = { C: told((_, r) => free[r].C), loss: told((_, r) => free[r].loss) };
    }
    const beyond = (name, reached) => (reached ? best[name].value / reached : null);
    return {
      reason: null,
      best,
      planned,
      money: moneyOf(told, found, question),
      sizes: sizesAbout(draws, model, question, tell, sizes[0], whole, TIMES),
      batches: road.x === "S_min" ? batchesAbout(told, found) : [],
      shapes: known.text ? shapesOf(draws, model, question, tell, sizes[0], whole) : [],
      beyond: {
        C: beyond("C", known.reached.C[question.counting]),
        N: beyond("N", known.reached.N),
        D: beyond("D", known.reached.D),
      },
    };
  }

  function moneyOf(told, found, { flops, devices, price }) {
    if (!flops) return {};
    const money = {
      seconds: told((_, r) => found[r].C / flops / devices),
      device_hours: told((_, r) => found[r].C / flops / 3600),
    };
    if (price != null) {
      money.price = told((_, r) => (found[r].C / flops / 3600) * price);
      money.serving = told((_, r) => (found[r].served / flops / 3600) * price);
    }
    return money;
  }

  function sizesAbout(draws, model, question, tell, best, whole, times) {
    const tokensOf = (N) => whole / model.flops(N) - question.served / 3;
    const least = draws.map((draw) => draw.trained(best, tokensOf(best)));
    return times.map((factor) => {
      const N = factor * best;
      const D = tokensOf(N);
      const losses = draws.map((draw) => draw.trained(N, D));
      return {
        times: factor,
        N,
        D: D > 0 ? D : null,
        loss: tell(losses),
        worse: tell(losses.map((loss, r) => (Number.isFinite(loss) ? loss - least[r] : loss))),
        compute: tell(
          draws.map((draw, r) => draw.compute(N, draw.tokens(draw.reaching(N, least[r]), least[r])) / whole)
        ),
      };
    });
  }

  function batchesAbout(told, found) {
    const least = (r) => found[r].D / (found[r].B + found[r].B_crit);
    return BATCHES.map((times) => ({
      times,
      B: told((_, r) => times * found[r].B_crit),
      S: told((_, r) => least(r) * (1 + 1 / times)),
      steps: told((_, r) => (least(r) * (1 + 1 / times)) / found[r].S),
      compute: told((_, r) => (least(r) * found[r].B_crit * (1 + times)) / found[r].D),
    }));
  }

  function shapesOf(draws, model, question, tell, best, whole) {
    return near(best).map((shape) => {
      const [N, f] = [bodyOf(shape), model.flopsOf(shape)];
      const D = whole / f - question.served / 3;
      const loss = tell(draws.map((draw) => draw.trained(N, D)));
      return { ...shape, N, flops_per_token: f, D: D > 0 ? D : null, loss };
    });
  }

  // lines for the charts: sizes at a finer grid, and the best loss from one budget to another
  function sizesLine(known, asked, best, whole) {
    const question = { times: 1, served: 0, ...asked };
    const road = known.roads.find((one) => one.name === question.road);
    const model = modelOf(question.counting, known.text);
    const times = Array.from({ length: 33 }, (_, i) => 2 ** ((i - 16) / 4));
    return sizesAbout(drawsOf(known, road, model, question), model, question, teller(road), best, whole, times);
  }

  // by sizes, of which compute and loss of the best training are known at once, with lines between them
  function frontierLine(known, asked, from, to) {
    const question = { times: 1, served: 0, ...asked };
    const road = known.roads.find((one) => one.name === question.road);
    const model = modelOf(question.counting, known.text);
    const draws = drawsOf(known, road, model, question);
    const tell = teller(road);
    const points = 21;
    const budgets = Array.from({ length: points }, (_, i) => from * (to / from) ** (i / (points - 1)));
    const losses = draws.map((draw) => {
      const [least, most] = [from, to].map((budget) => Math.log(draw.optimum(budget, null)));
      const [low, high] = [Number.isNaN(least) ? draw.first() : least, most];
      const [x, y] = [[], []];
      for (let i = 0; i < points; i += 1) {
        const N = Math.exp(low + ((high - low) * i) / (points - 1));
        const [at, loss] = draw.best(N);
        x.push(draw.compute(N, draw.tokens(at, loss)));
        y.push(loss);
      }
      let i = 0;
      return budgets.map((budget) => {
        while (i < points - 2 && x[i + 1] < budget) i += 1;
        if (budget < x[0] * 0.999) return NaN;
        const share = Math.log(budget / x[i]) / Math.log(x[i + 1] / x[i]);
        return y[i] * (y[i + 1] / y[i]) ** share;
      });
    });
    return budgets.map((budget, i) => ({ budget, loss: tell(losses.map((draw) => draw[i])) }));
  }

  return { answer, sizesLine, frontierLine, near };
})();
