/** Waiting for something, but not for longer than some time. */

/** What `work` gives, or "late" after `ms`; then its failure is nobody's any more. */
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
