// @ts-check
// Lets a view hear its kernel also where the page took long to begin.
//
// anywidget waits two seconds for a module, from when its model was made, and refuses every message
// to that model for good when it comes later: on a busy machine, or for the last of many cards that
// are restored at once. The view would be drawn and stand still, and say 'running' for ever.

const NOTHING = { content: { data: { method: 'nothing' } } };

/** Begin to take messages after all, and ask for what was refused meanwhile. */
async function hear(model) {
  const whole = await model.widget_manager.get_model(model.get('own_id'));
  try {
    await whole._handle_comm_msg(NOTHING); // which fails once anywidget has given up
  } catch (gaveUp) {
    if (!whole.comm) return; // a page without a kernel
    const take = Object.getPrototypeOf(whole.constructor.prototype)._handle_comm_msg;
    whole.comm.on_msg(take.bind(whole));
    whole.comm.send({ method: 'request_state' }, {});
    model.send({ k: 'hello' });
  }
}

/** Give a widget whose models hear their kernel. */
export function hearing(widget) {
  return () => {
    const made = typeof widget === 'function' ? widget() : widget;
    return {
      ...made,
      initialize(given) {
        hear(given.model); // later: this one has to return first
        return made.initialize?.(given);
      },
    };
  };
}
