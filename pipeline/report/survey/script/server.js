// Requests to the server. Each returns what the server says, or throws an Error with its line of text.

const NO_ANSWER = "facemask does not answer: start 'facemask survey' again, and open the address that it prints";

async function post(path, values) {
  const headers = { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(values) });
  } catch {
    throw new Error(NO_ANSWER);
  }
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.json();
}

export const loadState = (voter) => post("state", { voter });
export const saveVote = (voter, picture, vote, seconds) => post("vote", { voter, picture, vote, seconds });
export const takeBack = (voter) => post("undo", { voter });
export const loadResult = (voter) => post("result", { voter });
export const pictureAddress = (number) => `picture/${number}`;

// Shows a picture; returns when it can be seen.
export async function loadPicture(element, number) {
  element.src = pictureAddress(number);
  try {
    await element.decode();
  } catch {
    throw new Error(NO_ANSWER);
  }
}
