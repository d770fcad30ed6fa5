/** Waiting for something, but at most for a given time. */

/** What `work` resolves to, or "late" after `ms`. If `work` fails after that, the failure is ignored. */
export async function atMost<T>(work: Promise<T>, ms: number): Promise<T | "late"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => {
      work.catch(() => {});
      resolve("late");
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
